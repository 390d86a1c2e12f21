//! What is added and taken away again leaves the file as it was.

use super::*;
use crate::secret::{Form, RANDOM_BYTES};

const FILE: &str = "# Ours.\n\n[server]\nname = \"bus\" # short\n\n[agents.research]\n# Reads.\nkey = \"KEY\"\n";

fn secret(form: Form, seed: u8) -> Secret {
    Secret::make(form, [seed; RANDOM_BYTES]).expect("made")
}

fn file() -> String {
    let Secret::Key { public, .. } = secret(Form::Key, 1) else {
        panic!("a key");
    };
    FILE.replace("KEY", public.as_str())
}

fn agent(name: &str) -> Member {
    Member::Agent(name.parse().expect("name"), Vec::new())
}

#[test]
fn an_account_comes_and_goes_and_comments_stay() {
    let (file, person) = (file(), Member::Person("ada".parse().expect("name"), Role::Operator));
    let with = add(&file, &agent("code"), &secret(Form::Key, 2)).expect("added");
    let with = add(&with, &person, &secret(Form::Password, 3)).expect("added");
    let scope = Scope {
        may: vec!["code".parse().expect("name")],
        capabilities: vec!["tests".parse().expect("capability")],
        channels: vec!["news".parse().expect("channel")],
    };
    let shop = Member::Publisher("shop".parse().expect("name"), scope.clone());
    let with = add(&with, &shop, &secret(Form::Key, 4)).expect("added");
    assert!(with.contains("# short") && with.contains("# Reads."), "{with}");
    let access = Access::parse(&with).expect("reads");
    assert_eq!(access.agents.len(), 2);
    let shop = access.publishers.values().next().expect("shop");
    assert_eq!(
        (&shop.may, &shop.capabilities, &shop.channels),
        (&scope.may, &scope.capabilities, &scope.channels)
    );
    assert!(access.people.values().all(|person| person.password.is_some()));

    let told = remove(&with, "code").expect_err("in use").to_string();
    assert!(told.contains("shop"), "{told}");
    let mut without = with;
    for name in ["shop", "ada", "code"] {
        without = remove(&without, name).expect(name);
    }
    assert_eq!(without, file);
}

#[test]
fn a_name_belongs_to_one_account() {
    let file = file();
    for (taken, what) in [
        ("research", "an agent"),
        ("controller", "controllers"),
        ("system", "system"),
    ] {
        let told = add(&file, &agent(taken), &secret(Form::Key, 2))
            .expect_err(taken)
            .to_string();
        assert!(told.contains(what), "{told}");
    }
    let told = remove(&file, "reserch").expect_err("unknown").to_string();
    assert!(told.contains("research"), "{told}");
}

#[test]
fn two_keys_are_good_until_the_old_one_is_dropped() {
    let file = file();
    let old = Access::parse(&file)
        .expect("reads")
        .agents
        .into_values()
        .next()
        .and_then(|entry| entry.key);
    let keys = |text: &str| {
        let access = Access::parse(text).expect("reads");
        let entry = access.agents.into_values().next().expect("one");
        (entry.key, entry.old_key)
    };
    let both = rotate(&file, "research", &Rotation::Beside(secret(Form::Key, 5))).expect("rotated");
    let (new, kept) = keys(&both);
    assert!(new.is_some() && new != old && kept == old);
    assert!(rotate(&both, "research", &Rotation::Beside(secret(Form::Key, 6))).is_err());
    let one = rotate(&both, "research", &Rotation::DropOld).expect("dropped");
    assert_eq!(keys(&one), (new, None));
    assert!(rotate(&one, "research", &Rotation::DropOld).is_err());

    let password = rotate(&one, "research", &Rotation::Replace(secret(Form::Password, 7))).expect("rotated");
    assert_eq!(keys(&password), (None, None));
    assert!(rotate(&password, "research", &Rotation::Beside(secret(Form::Key, 8))).is_err());
    let made = rotate("", "controller", &Rotation::Replace(secret(Form::Key, 9))).expect("made");
    assert!(Access::parse(&made).expect("reads").controller.is_some());
}
