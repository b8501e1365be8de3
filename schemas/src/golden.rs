//! Golden files: a change of one is a change of contract.

/// Compares with `golden/<name>`, or writes it when `UPDATE_GOLDEN=1` is set.
pub(crate) fn check(name: &str, now: &[u8]) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    if std::env::var("UPDATE_GOLDEN").is_ok_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, now).unwrap();
        return;
    }
    let golden = std::fs::read(&path).unwrap_or_default();
    assert!(
        golden == now,
        "golden/{name} differs from what is written now. A change here is a change of contract: readers of the log \
         and of the lake rely on it. If it is meant, say so in the CHANGELOG, think of SCHEMA_VERSION and run the \
         tests with UPDATE_GOLDEN=1.\n--- golden\n{}\n--- now\n{}",
        String::from_utf8_lossy(&golden),
        String::from_utf8_lossy(now)
    );
}

/// A file that nothing writes any more is a contract that nobody keeps.
pub(crate) fn only(folder: &str, names: &std::collections::BTreeSet<String>) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(folder);
    for entry in std::fs::read_dir(path).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(names.contains(&name), "golden/{folder}/{name} is of no sample: delete it");
    }
}
