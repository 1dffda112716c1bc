//! Parameters as GitLab takes them: from the query, a form or a JSON body, with `a[]=` and `a[b]=` for lists and objects.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::reply::{Refusal, error, message};

/// The names and values of a query or form.
pub(crate) fn pairs(text: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(text).into_owned().collect()
}

/// Puts names and values into a map, nesting what has brackets.
pub(crate) fn nest(pairs: &[(String, String)], into: &mut Map<String, Value>) {
    for (name, value) in pairs {
        let value = Value::String(value.clone());
        match name.split_once('[').and_then(|(head, rest)| Some((head, rest.strip_suffix(']')?))) {
            Some((head, "")) => {
                let list = into.entry(head).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(list) = list {
                    list.push(value);
                }
            }
            Some((head, key)) => {
                let object = into.entry(head).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(object) = object {
                    object.insert(key.to_owned(), value);
                }
            }
            None => drop(into.insert(name.clone(), value)),
        }
    }
}

/// The body's parameters, by its content type.
pub(crate) fn body(content_type: &str, bytes: &[u8]) -> Result<Option<Value>, Refusal> {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        _ if bytes.is_empty() => Ok(None),
        "application/json" => match serde_json::from_slice::<Value>(bytes) {
            Ok(value) if value.is_object() => Ok(Some(value)),
            Ok(_) => Err(error(400, "The request body must be a JSON object")),
            Err(_) => Err(message(400, "400 Bad request - invalid JSON")),
        },
        "application/x-www-form-urlencoded" | "" => {
            let mut map = Map::new();
            nest(&pairs(bytes), &mut map);
            Ok(Some(Value::Object(map)))
        }
        _ => Err(error(415, "The provided content-type is not supported.")),
    }
}

/// A path's segments, split where the sender put slashes and only then decoded, so that `%2F` stays within its segment.
pub(crate) fn segments(path: &str) -> Vec<String> {
    path.split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::{nest, pairs, segments};

    #[test]
    fn an_encoded_slash_stays_in_its_segment() {
        assert_eq!(segments("/projects/factory%2Fcontrol/x"), ["projects", "factory/control", "x"]);
    }

    #[test]
    fn brackets_make_lists_and_objects() {
        let mut map = Map::new();
        nest(&pairs(b"a=1&tags[]=x&tags[]=y+z&filter%5Bscope%5D=*"), &mut map);
        assert_eq!(Value::Object(map), json!({"a": "1", "tags": ["x", "y z"], "filter": {"scope": "*"}}));
    }
}
