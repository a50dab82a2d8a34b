//! `docs/patterns.md` names every field, and its examples are good.

#![expect(
    clippy::expect_used,
    reason = "helpers of tests, whose input is their own"
)]

use std::fs;
use std::path::{Path, PathBuf};

use threshold_engine::check::check;
use threshold_engine::library::Library;

fn reference() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/patterns.md");
    fs::read_to_string(path).expect("the reference is there")
}

/// The cells of the rows of its tables, without the back quotes of the first.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

/// A file without any field at all is refused for each that it needs; one with a field that is not
/// known, with the names of those that are.
#[test]
fn every_field_stands_in_the_reference() {
    let text = reference();
    let first_cells: String = rows(&text).iter().map(|row| row[0]).collect();
    let folder = Scratch::new("fields");
    for (file, known_to) in [
        ("nonsense = 1\n", "pattern"),
        ("[inputs.A]\nnonsense = 1\n", "input"),
        ("nonsense = 1\n[[states]]\n", "model"),
        ("[[states]]\nnonsense = 1\n", "state"),
        (
            "[[states]]\nid = \"a\"\nsignals = [{ nonsense = 1 }]\n",
            "signal",
        ),
    ] {
        fs::write(folder.0.join("a.toml"), file).expect("it can be written");
        let (_, mistakes) = Library::load(&folder.0);
        let reason = &mistakes.first().expect("it is refused").reason;
        let fields: Vec<_> = reason.split('`').skip(3).step_by(2).collect();
        assert!(fields.len() > 1, "{known_to}: {reason}");
        for field in fields {
            let stands = first_cells.contains(&format!("`{field}`"))
                || first_cells.contains(&format!(".{field}`"))
                || first_cells.contains(&format!("`{field}."))
                || text.contains(&format!("(`when`, `{field}`)"));
            assert!(
                stands,
                "{field} of a {known_to} does not stand in docs/patterns.md"
            );
        }
    }
}

/// The examples load, and their tests pass.
#[test]
fn the_examples_of_the_reference_are_good() {
    let text = reference();
    let folder = Scratch::new("examples");
    let examples: Vec<_> = text.split("```toml\n").skip(1).collect();
    assert_eq!(examples.len(), 2);
    for (number, example) in examples.iter().enumerate() {
        let (example, _) = example.split_once("```").expect("it ends");
        let file = folder.0.join(format!("{number}.toml"));
        fs::write(file, example).expect("it can be written");
    }
    let (library, mistakes) = Library::load(&folder.0);
    assert!(mistakes.is_empty(), "{mistakes:?}");
    assert_eq!((library.patterns.len(), library.regimes.len()), (1, 1));
    let failures: Vec<_> = check(&library)
        .into_iter()
        .filter_map(|r| r.failure)
        .collect();
    assert!(failures.is_empty(), "{failures:?}");
}

/// A folder of this process, gone when this is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("atlas-reference-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("it can be made");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
