//! Whether a result is what the sender expects.

use baton_envelope::codes;
use baton_envelope::{Body, Expects, Json};
use baton_forms::Form;

use crate::fault::Fault;

/// The most bytes of a result that is compared with a schema.
const LARGEST: usize = 1024 * 1024;

/// Checks a result before it is committed. Another attempt may give another one.
pub(crate) fn expected(expects: &Expects, result: &Body) -> Result<(), Fault> {
    if !expects.checked {
        return Ok(());
    }
    let checked = expects.check(result).and_then(|()| match &expects.schema {
        Some(schema) => matches(schema, result),
        None => Ok(()),
    });
    checked.map_err(|problem| {
        Fault::retry(format!("the result is not what is expected: {problem}")).with_code(codes::BAD_OUTPUT)
    })
}

fn matches(schema: &Json, result: &Body) -> Result<(), String> {
    if result.encoding.is_some() {
        return Err("a schema is to be matched, and the result is bytes".to_owned());
    }
    let form = Form::read(schema.get()).map_err(|refused| format!("the schema cannot be used: {refused}"))?;
    form.check_up_to(Some(result.json.get()), LARGEST)
        .map_err(|refused| refused.to_string())
}
