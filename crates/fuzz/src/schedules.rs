//! The documents of schedules, and the times at which they fire.

use baton_envelope::Timestamp;
use baton_envelope::schedule::Schedule;

use self::checks::check;

// Controllers read expressions with these files, which name nothing else of them: to depend on the crate would be to
// instrument its database, too.
#[path = "../../controller/src/schedules/checks.rs"]
mod checks;
#[path = "../../controller/src/schedules/timetable.rs"]
mod timetable;

/// How many times in a row are looked at.
const TIMES: usize = 5;

pub(crate) fn schedule(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(found) = serde_json::from_str::<Schedule>(text) else {
        return;
    };
    crate::documents::comes_back(&found, |text| serde_json::from_str(text).expect("its own writing"));
    let now = Timestamp::from_unix_millis(1_795_237_200_000);
    let times = match check(&found, now) {
        Ok(times) => times,
        Err(refused) => {
            let is_whole = [&refused.code, &refused.message, &refused.fix]
                .iter()
                .all(|part| !part.is_empty());
            assert!(is_whole, "{refused:?}");
            return;
        }
    };
    let next = times.next(now, TIMES);
    assert!(!next.is_empty(), "it was said to fire");
    let mut before = now;
    for at in next {
        assert!(at > before, "{at} comes after {before}");
        assert!(found.until.is_none_or(|until| at <= until), "{at} is after its end");
        // What has just fired is found again by whoever looks back; and nothing lies between.
        assert_eq!(times.by(at), Some(at), "{at} is forgotten");
        before = at;
    }
}
