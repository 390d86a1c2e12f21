//! Amounts: what is one, and that none is ever rounded unseen.

use baton_envelope::budget::{Amount, Amounts, BadAmount};
use baton_envelope::*;
use proptest::prelude::*;

fn amount(text: &str) -> Amount {
    text.parse().expect("an amount")
}

#[test]
fn an_amount_is_written_without_what_says_nothing() {
    for (text, written) in [
        ("0", "0"),
        ("000", "0"),
        ("0.0", "0"),
        ("1200", "1200"),
        ("0001.500", "1.5"),
        ("0.02", "0.02"),
        ("0.000000001", "0.000000001"),
        ("999999999999999999.999999999", "999999999999999999.999999999"),
        ("1.0000000000000", "1"),
    ] {
        assert_eq!(amount(text).to_string(), written);
        let json = Json::parse(&format!("\"{text}\"")).expect("JSON");
        assert_eq!(Amount::of_json(&json), Ok(amount(text)), "{text} as a string");
    }
    assert_eq!(amount("999999999999999999.999999999"), Amount::MAX);
}

#[test]
fn what_is_no_amount_is_named_with_its_value_and_the_fix() {
    for (text, problem) in [
        ("", "no decimal"),
        ("-1", "negative"),
        ("1e3", "exponent"),
        ("1E-9", "exponent"),
        ("1 EUR", "no decimal number"),
        (".5", "no decimal"),
        ("5.", "no decimal"),
        ("1,5", "no decimal"),
        ("1.2.3", "no decimal"),
        ("0x10", "no decimal"),
        ("NaN", "no decimal"),
        ("١", "no decimal"),
        (" 1", "no decimal"),
        ("1000000000000000000", "18 digits before"),
        ("0.0000000001", "9 digits behind"),
    ] {
        let bad: BadAmount = text.parse::<Amount>().expect_err(text);
        assert!(bad.problem.contains(problem), "{text}: {bad}");
        let said = bad.to_string();
        assert!(
            said.contains(&format!("\"{text}\"")) && said.contains("; fix: "),
            "{said}"
        );
    }
    let long = "9".repeat(100_000);
    assert!(long.parse::<Amount>().expect_err("long").to_string().len() < 400);
    for json in ["null", "true", "[]", "{}", "\"a\"", "-0", "1e2"] {
        let json = Json::parse(json).expect("JSON");
        assert!(Amount::of_json(&json).is_err(), "{}", json.get());
    }
    let bad = serde_json::from_str::<Amounts>(r#"{"tokens":1.5e3}"#).expect_err("an exponent");
    assert!(bad.to_string().contains("exponent"), "{bad}");
}

#[test]
fn a_binary_fraction_counts_by_its_shortest_text_and_never_for_less() {
    for (value, written) in [
        (0.1, "0.1"),
        (0.1 + 0.2, "0.300000001"),
        (1e-12, "0.000000001"),
        (0.0, "0"),
        (-0.0, "0"),
        (12.5, "12.5"),
        (1e17, "100000000000000000"),
    ] {
        assert_eq!(
            Amount::of_float(value).map(|amount| amount.to_string()).as_deref(),
            Some(written)
        );
    }
    for value in [-1.0, f64::NAN, f64::INFINITY, 1e18] {
        assert_eq!(Amount::of_float(value), None, "{value}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same(whole in 0_u64..1_000_000_000_000_000_000, parts in 0_u32..1_000_000_000) {
        let amount = amount(&format!("{whole}.{parts:09}"));
        prop_assert_eq!(amount.to_string().parse::<Amount>(), Ok(amount));
        prop_assert_eq!(Amount::of_json(&amount.to_json()), Ok(amount));
    }

    #[test]
    fn sums_are_exact(one in 0_u64..1_000_000_000_000, other in 0_u64..1_000_000_000_000, count in 1_u32..10_000) {
        let of = |parts: u64| amount(&format!("{}.{:09}", parts / 1_000_000_000, parts % 1_000_000_000));
        prop_assert_eq!(of(one).plus(of(other)), of(one + other));
        prop_assert_eq!(of(one + other).less(of(other)), of(one));
        prop_assert_eq!(of(one).less(of(one + other)), Amount::ZERO);
        let each = of(one).divided_by(count);
        prop_assert!(each.times(count) <= of(one));
        prop_assert!(of(one).less(each.times(count)) < amount("0.00001"));
    }

    #[test]
    fn no_text_is_read_that_is_not_one(text in "[0-9.eE+-]{0,40}") {
        if let Ok(amount) = text.parse::<Amount>() {
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'), "{}", text);
            let (whole, parts) = text.split_once('.').unwrap_or((&text, ""));
            let plain = match (whole.trim_start_matches('0'), parts.trim_end_matches('0')) {
                ("", "") => "0".to_owned(),
                ("", parts) => format!("0.{parts}"),
                (whole, "") => whole.to_owned(),
                (whole, parts) => format!("{whole}.{parts}"),
            };
            prop_assert_eq!(amount.to_string(), plain);
        }
    }
}
