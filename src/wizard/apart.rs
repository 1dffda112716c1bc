//! An address typed with login and port, as providers show it: taken apart into the answers that it holds.

use crate::factory::answers::{Answers, Source};
use crate::factory::fields::{Field, Value, by_key};
use crate::factory::{Fault, destination};

/// Reads what was typed for a field, as a whole.
///
/// # Errors
/// As [`Field::read`].
pub(super) fn read(field: &Field, typed: &str) -> Result<Value, Fault> {
    if is_more(field, typed) { Ok(Value::Text(typed.to_owned())) } else { field.read(typed) }
}

/// Whether a text answers more than this field asks.
fn is_more(field: &Field, typed: &str) -> bool {
    field.key == "host.address" && destination(typed).is_some()
}

/// Sets what was [read](read) for a field.
pub(super) fn set(answers: &mut Answers, field: &'static Field, value: Value) {
    let parts = match &value {
        Value::Text(typed) if is_more(field, typed) => destination(typed),
        _ => None,
    };
    let Some((login, address, port)) = parts else { return answers.set(field, value, Source::Asked) };
    let login = login.map(|login| ("host.login", Value::Text(login.to_owned())));
    let port = port.map(|port| ("host.port", Value::Number(port.into())));
    for (key, value) in [("host.address", Value::Text(address.to_owned()))].into_iter().chain(login).chain(port) {
        if let Some(field) = by_key(key) {
            answers.set(field, value, Source::Asked);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_login_and_port_is_three_answers() {
        let field = by_key("host.address").unwrap();
        for (typed, login, address, port) in [
            ("root@203.0.113.7:2222", Some("root"), "203.0.113.7", Some("2222")),
            ("ssh debian@forge.example.org", Some("debian"), "forge.example.org", None),
            ("ssh://root@forge:22/", Some("root"), "forge", Some("22")),
            ("[2001:db8::1]:2222", None, "2001:db8::1", Some("2222")),
            ("root@2001:db8::1", Some("root"), "2001:db8::1", None),
            ("forge", None, "forge", None),
        ] {
            let mut answers = Answers::default();
            assert_eq!(is_more(field, typed), typed != "forge", "{typed}");
            set(&mut answers, field, Value::Text(typed.into()));
            let text = |key| answers.answer(by_key(key).unwrap()).map(|answer| answer.value.to_string());
            assert_eq!(text("host.address").as_deref(), Some(address), "{typed}");
            assert_eq!((text("host.login").as_deref(), text("host.port").as_deref()), (login, port), "{typed}");
        }
        for typed in ["root@", "@forge", "root@forge:0", "root@forge:x", "a b@forge", "http://forge", "ssh -p 1 forge"]
        {
            assert!(!is_more(field, typed), "{typed}");
        }
    }
}
