use super::*;

#[test]
fn a_second_one_is_refused_by_pid_and_path() {
    let dir = tempfile::tempdir().expect("directory");
    let data_dir = dir.path().join("deep/data");
    let first = DataDirLock::acquire(&data_dir).expect("free");
    assert_eq!(first.data_dir(), data_dir);
    let error = DataDirLock::acquire(&data_dir).expect_err("in use");
    let pid = std::process::id();
    assert!(
        matches!(&error, LockError::InUse { path, pid: Some(found) } if *path == data_dir && *found == pid),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(text.contains(&format!("process {pid}")), "{text}");
    assert!(text.contains(&data_dir.display().to_string()), "{text}");
    drop(first);
    DataDirLock::acquire(&data_dir).expect("free again");
}

#[test]
fn what_a_crash_left_behind_locks_nobody_out() {
    let dir = tempfile::tempdir().expect("directory");
    fs::write(dir.path().join(LOCK_FILE_NAME), "4194304 and more than a number\n").expect("write");
    let lock = DataDirLock::acquire(dir.path()).expect("free");
    let content = fs::read_to_string(dir.path().join(LOCK_FILE_NAME)).expect("read");
    assert_eq!(content, format!("{}\n", std::process::id()));
    drop(lock);
}

#[test]
fn a_holder_that_cannot_be_named_is_another_process() {
    let dir = tempfile::tempdir().expect("directory");
    let lock = DataDirLock::acquire(dir.path()).expect("free");
    fs::write(dir.path().join(LOCK_FILE_NAME), "\u{1b}[2J").expect("write");
    let error = DataDirLock::acquire(dir.path()).expect_err("in use");
    assert!(error.to_string().contains("in use by another process"), "{error}");
    drop(lock);
}
