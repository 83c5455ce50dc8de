//! Every input in `corpus/` through its target, without a fuzzer.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use chainmesh_fuzz::TARGETS;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let listing = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = listing.map(|entry| entry.expect("a readable entry").path()).collect();
    paths.sort();
    paths
}

#[test]
fn every_corpus_input_passes_its_target() {
    let mut broken = Vec::new();
    for (name, target) in TARGETS {
        let inputs = entries(&corpus().join(name));
        assert!(!inputs.is_empty(), "corpus/{name} is empty");
        for input in inputs {
            let data = fs::read(&input).expect("a readable input");
            if catch_unwind(|| target(&data)).is_err() {
                broken.push(input);
            }
        }
    }
    assert!(broken.is_empty(), "targets broke on {broken:#?}");
}

#[test]
fn every_corpus_folder_and_program_has_a_target() {
    let names: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let stems = |paths: Vec<PathBuf>| -> BTreeSet<String> {
        paths.iter().filter_map(|p| Some(p.file_stem()?.to_str()?.to_owned())).collect()
    };
    assert_eq!(stems(entries(&corpus())), names);
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
    assert_eq!(stems(entries(&programs)), names);
}
