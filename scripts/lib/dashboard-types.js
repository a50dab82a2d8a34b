// Prints a dashboard (the first argument) as TypeScript: each part of it a constant of the type that Grafana publishes.
// Panels and rows are of types of their own, so each is checked as one.
const board = JSON.parse(require("fs").readFileSync(process.argv[2]));
const out = [
    'import type { Dashboard, Panel, RowPanel, VariableModel, AnnotationQuery } from "@grafana/schema";',
    // JSON has the words of enumerations and not their names.
    "type Json<T> = T extends string ? `${T}` : T extends number | boolean | null | undefined ? T",
    "    : T extends (infer U)[] ? Json<U>[] : { [K in keyof T]: Json<T[K]> };",
];
const check = (type, value) => out.push(`const c${out.length}: Json<${type}> = ${JSON.stringify(value, null, 1)};`);
const { panels, templating, annotations, ...rest } = board;
for (const panel of panels) check(panel.type === "row" ? "RowPanel" : "Panel", panel);
for (const variable of templating.list) check("VariableModel", variable);
// What a data source is asked is for that to define.
for (const { target, ...annotation } of annotations.list) check("AnnotationQuery", annotation);
check("Dashboard", rest);
console.log(out.join("\n") + "\nexport {};");
