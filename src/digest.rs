//! SHA-256 in lower-case hexadecimal, as `sha256sum` prints it.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// SHA-256 over named parts: of the text with one line `DIGEST  NAME` for each, as `sha256sum` prints it.
pub(crate) fn sha256_of_parts(parts: &[(String, String)]) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    for (name, digest) in parts {
        let _ = writeln!(text, "{digest}  {name}");
    }
    sha256(text.as_bytes())
}

/// SHA-256 of the canonical JSON of `value`: compact, with the keys of every object in order.
pub(crate) fn sha256_of_json(value: &impl Serialize) -> String {
    let mut json = serde_json::to_value(value).unwrap_or_default();
    sort(&mut json);
    sha256(json.to_string().as_bytes())
}

fn sort(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.sort_keys();
            map.values_mut().for_each(sort);
        }
        Value::Array(items) => items.iter_mut().for_each(sort),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_keys_does_not_matter() {
        let one = serde_json::json!({ "b": [{ "d": 1, "c": 2 }], "a": null });
        let two = serde_json::json!({ "a": null, "b": [{ "c": 2, "d": 1 }] });
        assert_eq!(sha256_of_json(&one), sha256_of_json(&two));
        assert_eq!(sha256_of_json(&one), sha256(br#"{"a":null,"b":[{"c":2,"d":1}]}"#));
    }
}
