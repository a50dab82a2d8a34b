//! `docs/configuration.md` is made of the settings that the services ask for, and is current.
//! `ATLAS_WRITE_DOCS=1 cargo test -p atlas --test configuration_page` writes it.

use service::config::Reference;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");

const HEAD: &str = "\
# Configuration

This page is generated from the programs (`make docs`).

A value comes from the TOML file that `--config` names, is overridden by the environment, and that by flags. Every setting
has a variable, by the names of section and key (`port` in `[grpc]` is `GRPC__PORT`; capitals do not matter), and can be
given as `--set grpc.port=5001`. An empty variable counts as none. Of several variables of one setting, the first that is
listed wins.

A program says everything that is wrong at once, with its key and where it is from, and does not start: values out of
bounds, keys that it does not know (with the nearest one that it does), and variables that look like a mistyped one.
`--print-config` prints what holds and where each value is from; secrets are shown as `***`.

What is a secret can be given by file: `database.password_file`, or any of its variables with `_FILE` at the end. Both at
once are refused. The line end at the end of the file does not count.

`atlas up` runs both services in one process: variables go to both, but those of `[rest]`, `[grpc]`, `[events]` and
`DATABASE__SCHEMA` to neither; `COLLECTOR__GRPC__PORT` is the collector's `GRPC__PORT`, `ENGINE__GRPC__PORT` the engine's.
";

fn references() -> [Reference; 2] {
    [
        collector::config::SETTINGS.reference(),
        threshold_engine::config::SETTINGS.reference(),
    ]
}

#[test]
fn the_page_is_current() {
    let [collector, engine] = references();
    let page = format!("{HEAD}\n{collector}\n{engine}");
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
    let [collector, engine] = references();
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
