//! The chapter on security names tests, and so it cannot outlive them.

use std::fs;
use std::path::Path;

#[test]
fn the_tests_that_the_chapter_on_security_names_are_there() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = fs::read_to_string(repository.join("kv-proto/src/manual/security.md")).unwrap();
    let quoted = page.split('`').skip(1).step_by(2);
    let named: Vec<_> = quoted.filter_map(|text| text.split_once(".rs::")).collect();
    assert!(named.len() > 50, "{}", named.len());
    for (path, test) in &named {
        let file = repository.join(format!("{path}.rs"));
        let source = fs::read_to_string(&file).unwrap_or_else(|_| panic!("no {}", file.display()));
        let function = [format!("fn {test}("), format!("fn {test}<")];
        let found = function.iter().any(|function| source.contains(function));
        assert!(found, "{path}.rs has no {test}");
        // A test of the suite runs if its file lists it.
        let listed = source.matches(test).count() > 1;
        assert!(
            listed || source.contains("#[test]"),
            "{path}.rs: {test} is not run"
        );
    }
    let rows = page.lines().filter(|line| line.starts_with("| "));
    for row in rows.filter(|row| !row.ends_with("| shown by |")) {
        assert!(row.contains(".rs::"), "nothing shows this: {row}");
    }
}
