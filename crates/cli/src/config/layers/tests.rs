//! The file that is shipped, the precedence of the layers, and what is refused.

use std::io::Write as _;

use super::*;

const SHIPPED: &str = include_str!("../../../../../config/baton.toml");

fn environment(pairs: &[(&str, &str)]) -> Environment {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("temporary file");
    file.write_all(text.as_bytes()).expect("written");
    file
}

fn refusal(text: &str, pairs: &[(&str, &str)]) -> String {
    let file = file(text);
    let error = load(Some(file.path()), &environment(pairs)).expect_err("refused");
    assert_eq!(error.kind.exit(), 64);
    format!("{} {}", error.message(), error.hints.join(" "))
}

#[test]
fn the_shipped_file_has_every_key_with_its_default_and_a_comment() {
    let shipped: Table = SHIPPED.parse().expect("TOML");
    let defaults = Table::try_from(Config::default()).expect("TOML");
    assert_eq!(shipped, defaults);
    assert_eq!(
        load(Some(file(SHIPPED).path()), &Environment::new()).expect("loads"),
        Config::default()
    );
    let mut previous = "";
    for line in SHIPPED.lines() {
        if line.contains(" = ") && !line.starts_with('#') {
            assert!(previous.starts_with("# "), "no comment above: {line}");
        }
        previous = line;
    }
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let file = file("[worker]\nconcurrency = 3\nagent = \"from-file\"\n");
    let variables = environment(&[
        ("BATON_WORKER__AGENT", "from-env"),
        ("BATON_WORKER__EXEC", "true"),
        ("BATON_WORKER__JSON", "true"),
        ("BATON_WORKER__CAPABILITIES", "a, b"),
        ("BATON_SERVER", "a flag's variable"),
        ("BATON_INTENT", "what a worker tells its program"),
    ]);
    let config = load(Some(file.path()), &variables).expect("loads");
    assert_eq!(
        config.worker.agent.map(|agent| agent.to_string()).as_deref(),
        Some("from-env")
    );
    assert_eq!(config.worker.exec.as_deref(), Some("true"));
    assert_eq!(config.worker.capabilities, ["a", "b"]);
    assert_eq!((config.worker.concurrency.get(), config.worker.json), (3, true));
    assert_eq!(config.worker.max_attempts.get(), 3);
}

#[test]
fn what_is_unknown_or_wrong_is_refused_by_name() {
    let cases = [
        (refusal("[worker]\nconcurency = 3", &[]), "`worker.concurency`"),
        (refusal("[wroker]\nagent = \"x\"", &[]), "`wroker`"),
        (refusal("agent = \"x\"", &[]), "`agent`"),
        (refusal("[worker]\nagent = \"a.b\"", &[]), "no dots"),
        (refusal("[worker]\nversion = \"1.x\"", &[]), "1.4.0"),
        (
            refusal("[worker]\ndrain_timeout = \"soon\"", &[]),
            "`worker.drain_timeout`",
        ),
        (refusal("[worker]\nconcurrency = 0", &[]), "`worker.concurrency`"),
        (refusal("[connection]\nreplicas = 7", &[]), "1 to 5"),
        (refusal("[connection]\nbands = \"four\"", &[]), "`connection.bands`"),
        (refusal("[worker", &[]), "TOML"),
        (
            refusal("", &[("BATON_WORKER__CONCURRENCY", "many")]),
            "BATON_WORKER__CONCURRENCY",
        ),
        (refusal("", &[("BATON_WORKER__SLOTS", "8")]), "BATON_WORKER__SLOTS"),
        (refusal("", &[("BATON_WORKER__SLOTS", "8")]), "concurrency"),
    ];
    for (message, named) in cases {
        assert!(message.contains(named), "{named}: {message}");
    }
}

#[test]
fn a_password_is_not_repeated() {
    for text in [
        "[connection]\npassword = 12345678",
        "[connection]\npassword = \"12345678",
        "[connection]\npassword = 12345678 x",
    ] {
        let told = refusal(text, &[]);
        assert!(!told.contains("12345678"), "{told}");
    }
}

#[test]
fn the_defaults_are_those_of_the_libraries() {
    let config = Config::default();
    let theirs = baton_controller::ControllerConfig::default();
    assert_eq!(config.worker.retry(), baton_agent::RetryPolicy::default());
    assert_eq!(config.controller.sweep_interval.0, theirs.sweep_interval);
    assert_eq!(
        usize::try_from(config.controller.route_slots.get()).expect("fits"),
        theirs.route_slots
    );
    assert_eq!(baton_envelope::Bands::from(config.connection.bands), theirs.bands);
}
