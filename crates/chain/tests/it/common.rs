//! What the tests share.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use chainmesh_chain::file::{self, FileError, ImportOptions, ImportSummary};
use chainmesh_chain::{Chain, ChainOptions, ChainSpec};

/// The folder of a chain that this project did not make; `None`, said aloud, when the shared data
/// are not there. On CI they must be.
pub(crate) fn chain_folder(name: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("CHAINMESH_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let other = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared");
    let folders = [shared, other].map(|shared| shared.join("data/chains").join(name));
    let found = folders.into_iter().find(|folder| folder.is_dir());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "the chains in ../shared are missing");
        eprintln!("SKIPPED: no ../shared/data/chains/{name} (set CHAINMESH_SHARED)");
    }
    found
}

pub(crate) fn open(data_dir: &Path, genesis: &Path) -> Chain {
    let spec = ChainSpec::read(genesis).expect("genesis");
    Chain::open_with(data_dir, spec, ChainOptions::default()).expect("open")
}

pub(crate) fn import(chain: &Chain, bytes: &[u8]) -> Result<ImportSummary, FileError> {
    file::import(chain, bytes, ImportOptions::default(), |_| ControlFlow::Continue(()))
}

pub(crate) fn export(chain: &Chain, first: u64, last: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    file::export(chain, first..=last, &mut bytes, |_, _| ControlFlow::Continue(()))
        .expect("export");
    bytes
}
