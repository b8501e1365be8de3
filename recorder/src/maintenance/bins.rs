//! Which small files become one. No IO.

use crate::lake::{LakeFile, MAX_FILE_BYTES};

/// How many become one at once: of each some rows are in memory.
const MAX_FILES: usize = 64;

/// Groups files that lie next to each other in time into what becomes one file each. What would stay alone is left out,
/// so that an empty answer means that nothing is left to do, and each round leaves fewer files.
pub(super) fn bins(mut files: Vec<LakeFile>) -> Vec<Vec<LakeFile>> {
    files.retain(|file| file.meta.size < MAX_FILE_BYTES);
    files.sort_by(|a, b| {
        let key = |file: &LakeFile| (file.day, file.meta.last_modified);
        key(a).cmp(&key(b)).then_with(|| a.meta.location.cmp(&b.meta.location))
    });
    let mut bins: Vec<Vec<LakeFile>> = Vec::new();
    let mut bytes: u64 = 0;
    for file in files {
        let fits = |bin: &&mut Vec<LakeFile>| {
            bin.len() < MAX_FILES
                && bytes.saturating_add(file.meta.size) <= MAX_FILE_BYTES
                && bin.first().is_some_and(|first| first.day == file.day)
        };
        if let Some(bin) = bins.last_mut().filter(fits) {
            bytes = bytes.saturating_add(file.meta.size);
            bin.push(file);
        } else {
            bytes = file.meta.size;
            bins.push(vec![file]);
        }
    }
    bins.retain(|bin| bin.len() > 1);
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn names(files: Vec<LakeFile>) -> Vec<Vec<String>> {
        let name = |file: LakeFile| file.meta.location.to_string();
        bins(files).into_iter().map(|bin| bin.into_iter().map(name).collect()).collect()
    }

    fn file(name: &str, day: i8, seconds: i64, size: u64) -> LakeFile {
        LakeFile::named(name, jiff::civil::date(2026, 11, day), seconds, size)
    }

    #[test]
    fn neighbours_in_time_become_one_up_to_its_size() {
        let files = vec![
            file("c", 1, 30, 50 * MIB),
            file("a", 1, 10, 40 * MIB),
            file("b", 1, 20, 60 * MIB),
            file("d", 1, 40, 50 * MIB),
            file("e", 1, 50, MIB),
            file("f", 1, 50, MIB),
        ];
        assert_eq!(names(files), [vec!["a", "b"], vec!["c", "d"], vec!["e", "f"]]);
    }

    #[test]
    fn days_stay_apart_and_what_is_large_or_alone_stays() {
        let files = vec![
            file("a", 1, 10, MIB),
            file("b", 2, 20, MIB),
            file("c", 2, 30, MIB),
            file("large", 2, 25, MAX_FILE_BYTES),
            file("d", 3, 40, MIB),
        ];
        assert_eq!(names(files), [vec!["b", "c"]]);
        assert!(names(Vec::new()).is_empty());
    }

    #[test]
    fn many_become_one_in_rounds() {
        let mut files: Vec<_> =
            (0..200).map(|n| file(&format!("f{n:03}"), 1, n, MIB / 64)).collect();
        for left in [4, 1] {
            let made = bins(files);
            assert!(made.iter().all(|bin| bin.len() <= MAX_FILES), "{made:?}");
            files = (0..made.len()).map(|n| file(&n.to_string(), 1, 0, MIB)).collect();
            assert_eq!(files.len(), left);
        }
        assert!(bins(files).is_empty(), "it ends");
    }
}
