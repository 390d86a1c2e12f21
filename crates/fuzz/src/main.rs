//! The entry point of libFuzzer; `crates/fuzz/run` builds it. `BATON_FUZZ` names the target.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    static CHECK: std::sync::OnceLock<fn(&[u8])> = std::sync::OnceLock::new();
    let check = CHECK.get_or_init(|| {
        let name = std::env::var("BATON_FUZZ").unwrap_or_default();
        baton_fuzz::target(&name).expect("BATON_FUZZ names no target")
    });
    check(bytes);
});

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("this build is not instrumented: run crates/fuzz/run");
    std::process::exit(2);
}
