//! `docs/configuration.md` is generated from the settings that the services read, and is current.
//! `ATLAS_WRITE_DOCS=1 cargo test -p atlas --test configuration_page` writes it.

use service::config::Reference;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");

const HEAD: &str = "\
# Configuration

This page is generated from the programs (`make docs`).

A value comes from the TOML file that `--config` names. The environment overrides the file, and flags override the
environment. Every setting has a variable, named by its section and key (`port` in `[grpc]` is `GRPC__PORT`; case does not
matter), and a flag (`--set grpc.port=5001`). An empty variable counts as not set. If a setting has several variables, the
first one in its row wins.

If the configuration is not valid, the program lists all mistakes with key and origin, and does not start. Mistakes are
values out of bounds, unknown keys (with the nearest known one), and variables that look like a mistyped name.
`--print-config` prints the values in use and the origin of each; secrets are shown as `***`.

A secret can be read from a file: set `database.password_file`, or any of its variables with the suffix `_FILE`. A program
refuses a secret that is given both ways. It ignores a line break at the end of the file.

`atlas up` runs collector, engine and alert service in one process. Variables apply to all, except those of `[rest]`, `[grpc]`,
`[events]` and `DATABASE__SCHEMA`, which need a prefix: `COLLECTOR__GRPC__PORT` is the collector's `GRPC__PORT`, `ENGINE__GRPC__PORT`
the engine's, `ALERT_SERVICE__GRPC__PORT` the alert service's.
";

fn references() -> [Reference; 3] {
    [
        collector::config::SETTINGS.reference(),
        threshold_engine::config::SETTINGS.reference(),
        alert_service::config::SETTINGS.reference(),
    ]
}

#[test]
fn the_page_is_current() {
    let [collector, engine, alerts] = references();
    let page = format!("{HEAD}\n{collector}\n{engine}\n{alerts}");
    if std::env::var_os("ATLAS_WRITE_DOCS").is_some() {
        std::fs::write(PAGE, page).unwrap();
        return;
    }
    let stored = std::fs::read_to_string(PAGE).unwrap();
    assert!(
        stored == page,
        "docs/configuration.md is not current: make docs"
    );
}

#[test]
fn every_setting_says_what_it_means() {
    for reference in references() {
        for setting in reference.settings() {
            let key = setting.key;
            let meaning = &setting.meaning;
            assert!(
                !meaning.is_empty(),
                "{key}: a comment on its field, or Reader::describe"
            );
        }
    }
}

/// The names that deployments of the design document use.
#[test]
fn variables_of_the_first_deployments_are_known() {
    let [collector, engine, _] = references();
    for name in ["GRPC__PORT", "ConnectionStrings__Atlas"] {
        assert!(
            collector.knows_variable(name) && engine.knows_variable(name),
            "{name}"
        );
    }
    for name in ["FredCollector__GrpcUrl", "EVENTCONSUMER__BACKFILLMONTHS"] {
        assert!(engine.knows_variable(name), "{name}");
    }
    assert!(!engine.knows_variable("GRPC__PROT"));
}
