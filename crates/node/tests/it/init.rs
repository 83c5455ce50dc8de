//! `chainmesh init`, and a validator on what it made.

use std::path::Path;
use std::process::{Command, Output};

use chainmesh_chain::{ChainSpec, clique};

fn init(arguments: &[&str], data_dir: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chainmesh"));
    command.arg("init").args(arguments).arg("--data-dir").arg(data_dir);
    command.output().expect("chainmesh")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

const SIGNER: &str = "0x71c7656ec7ab88b098defb751b7401b5f6d8976f";

#[test]
fn a_new_network_has_what_was_asked_for() {
    let dir = tempfile::tempdir().expect("directory");
    let data = dir.path().join("node");
    let made = init(
        &[
            "--chain-id",
            "77",
            "--period",
            "3",
            "--epoch",
            "100",
            "--gas-limit",
            "9000000",
            "--signers",
            SIGNER,
            "--new-signer",
            "--alloc",
            &format!("{SIGNER}=2gwei"),
        ],
        &data,
    );
    assert!(made.status.success(), "{}", said(&made));
    let spec = ChainSpec::read(&data.join("genesis.json")).expect("genesis");
    assert!(said(&made).contains(&spec.genesis_hash().to_string()), "{}", said(&made));
    let genesis = spec.genesis();
    let config = genesis.config.clique.expect("clique");
    assert_eq!((config.period, config.epoch), (Some(3), Some(100)));
    assert_eq!((spec.config().chain_id, genesis.gas_limit), (77, 9_000_000));
    let signers = clique::signers_in_extra_data(&genesis.extra_data).expect("signers");
    assert_eq!(signers.len(), 2);
    let key = chainmesh_identity::key_file::load(&data.join("validator.key")).expect("read");
    let new = clique::address(key.expect("a key").public_key());
    assert!(signers.contains(&new) && signers.contains(&SIGNER.parse().expect("address")));
    let balance = genesis.alloc.values().map(|account| account.balance.to::<u64>()).sum::<u64>();
    assert_eq!(balance, 2_000_000_000);

    // Nothing is overwritten.
    let again = init(&["--chain-id", "78", "--new-signer"], &data);
    assert_eq!(again.status.code(), Some(1));
    assert!(said(&again).contains("has a chain already"), "{}", said(&again));
    let other = dir.path().join("other");
    std::fs::create_dir(&other).expect("directory");
    std::fs::write(other.join("genesis.json"), "mine").expect("write");
    let refused = init(&["--chain-id", "78", "--new-signer"], &other);
    assert!(said(&refused).contains("genesis.json exists already"), "{}", said(&refused));
    assert_eq!(std::fs::read(other.join("genesis.json")).expect("read"), b"mine");
    assert!(!other.join("validator.key").exists() && !other.join("chain.redb").exists());

    // The file makes the same network elsewhere.
    let second = dir.path().join("second");
    let file = data.join("genesis.json");
    let taken = init(&["--genesis", file.to_str().expect("path")], &second);
    assert!(said(&taken).contains(&spec.genesis_hash().to_string()), "{}", said(&taken));
    assert!(second.join("chain.redb").exists());
}

#[test]
fn what_makes_no_network() {
    let dir = tempfile::tempdir().expect("directory");
    let twice = format!("{SIGNER},{SIGNER}");
    let money = format!("{SIGNER}=1,{SIGNER}=2");
    for (arguments, expected) in [
        (vec!["--chain-id", "7"], "give --signers, or --new-signer"),
        (vec!["--new-signer"], "--chain-id"),
        (vec!["--chain-id", "0", "--new-signer"], "0 is not in"),
        (vec!["--chain-id", "7", "--signers", "0x12"], "0x12"),
        (vec!["--chain-id", "7", "--signers", &twice], "named twice in --signers"),
        (vec!["--chain-id", "7", "--new-signer", "--alloc", &money], "named twice in --alloc"),
        (vec!["--chain-id", "7", "--new-signer", "--alloc", "x"], "ADDRESS=AMOUNT"),
        (vec!["--chain-id", "7", "--new-signer", "--epoch", "1"], "1 is not in"),
        (vec!["--chain-id", "7", "--new-signer", "--forks", "paris"], "london"),
        (vec!["--genesis", "nowhere.json"], "nowhere.json"),
        (vec!["--genesis", "g.json", "--chain-id", "7"], "cannot be used with"),
    ] {
        let data = dir.path().join("node");
        let refused = init(&arguments, &data);
        assert!(!refused.status.success(), "{arguments:?}");
        assert!(said(&refused).contains(expected), "{arguments:?}: {}", said(&refused));
        assert!(!data.join("chain.redb").exists(), "{arguments:?}");
    }
}

#[test]
fn later_forks_are_said_to_be_ours_alone() {
    let dir = tempfile::tempdir().expect("directory");
    let made = init(&["--chain-id", "7", "--new-signer", "--forks", "prague"], dir.path());
    assert!(said(&made).contains("go-ethereum cannot take part"), "{}", said(&made));
    let spec = ChainSpec::read(&dir.path().join("genesis.json")).expect("genesis");
    assert!(spec.genesis_header().requests_hash.is_some());
}
