//! What Grafana makes of SQL before it asks the database.

use serde_json::Value;

/// The range of times that a dashboard is looked at in here: all there are.
const FROM: &str = "'1900-01-01T00:00:00Z'";
const TO: &str = "'2100-01-01T00:00:00Z'";

/// Puts in macros and variables. A variable that the user chooses from a query is all of its
/// answers here.
pub(crate) fn expand(sql: &str, dashboard: &Value) -> String {
    let mut sql = time_filters(sql);
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    // Those first whose queries have others in them.
    let (asked, given): (Vec<_>, Vec<_>) = variables
        .iter()
        .filter(|variable| variable["name"] != "instance")
        .partition(|variable| variable["type"] == "query");
    for variable in asked {
        let name = variable["name"].as_str().unwrap();
        let query = variable["query"].as_str().unwrap();
        let answers = format!("select (array_agg(v))[1:] from ({query}) a(v)");
        let values = match query.contains("__value") {
            true => answers.replace("a(v)", "a(v, t)"),
            false => answers,
        };
        let list = format!("select unnest(({values}))");
        sql = sql.replace(&format!("${{{name}:sqlstring}}"), &list);
    }
    for variable in given {
        let name = variable["name"].as_str().unwrap();
        let value = variable["current"]["value"].as_str().unwrap();
        sql = sql.replace(&format!("${{{name}}}"), value);
    }
    assert!(!sql.contains('$'), "not everything is known in {sql}");
    sql
}

fn time_filters(sql: &str) -> String {
    const MACRO: &str = "$__timeFilter(";
    let Some((before, rest)) = sql.split_once(MACRO) else {
        return sql.to_owned();
    };
    let mut depth = 1;
    let end = rest
        .find(|c| {
            depth += match c {
                '(' => 1,
                ')' => -1,
                _ => 0,
            };
            depth == 0
        })
        .unwrap();
    let (column, after) = (&rest[..end], &rest[end + 1..]);
    let filter = format!("{column} between {FROM} and {TO}");
    format!("{before}{filter}{}", time_filters(after))
}
