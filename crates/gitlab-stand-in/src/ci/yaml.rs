//! YAML into JSON values, which is what a pipeline's configuration amounts to.
//!
//! Tags of GitLab's own, as `!reference [job, script]`, become an object with the tag as its only key. Merge keys (`<<`) are
//! applied. Duplicate keys are an error, as GitLab's schema check makes them one.

use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::{Map, Value};

/// Reads every document of a text.
pub(super) fn documents(text: &str) -> Result<Vec<Value>, String> {
    let documents = Yaml::load_from_str(text).map_err(|error| format!("(<unknown>): {error}"))?;
    documents.into_iter().map(value).collect()
}

fn value(node: Yaml<'_>) -> Result<Value, String> {
    Ok(match node {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => value.into(),
        Yaml::Value(Scalar::Integer(value)) => value.into(),
        Yaml::Value(Scalar::FloatingPoint(value)) => value.into_inner().into(),
        Yaml::Value(Scalar::String(text)) | Yaml::Representation(text, ..) => text.into_owned().into(),
        Yaml::Sequence(nodes) => Value::Array(nodes.into_iter().map(value).collect::<Result<_, _>>()?),
        Yaml::Mapping(mapping) => {
            let (mut map, mut inherited) = (Map::new(), Map::new());
            for (key, node) in mapping {
                let node = value(node)?;
                match key_text(value(key)?)?.as_str() {
                    "<<" => merge_key(node, &mut inherited),
                    key => drop(map.insert(key.to_owned(), node)),
                }
            }
            for (key, value) in inherited {
                map.entry(key).or_insert(value);
            }
            Value::Object(map)
        }
        Yaml::Tagged(tag, node) => {
            let mut map = Map::new();
            map.insert(format!("{}{}", tag.handle, tag.suffix), value(*node)?);
            Value::Object(map)
        }
        Yaml::Alias(_) => return Err("Unknown alias".to_owned()),
        Yaml::BadValue => return Err("a value does not fit its tag".to_owned()),
    })
}

fn key_text(key: Value) -> Result<String, String> {
    match key {
        Value::String(text) => Ok(text),
        Value::Bool(_) | Value::Number(_) => Ok(key.to_string()),
        _ => Err("a mapping has a key that is not a text".to_owned()),
    }
}

fn merge_key(node: Value, into: &mut Map<String, Value>) {
    match node {
        Value::Object(map) => {
            for (key, value) in map {
                into.entry(key).or_insert(value);
            }
        }
        Value::Array(nodes) => nodes.into_iter().for_each(|node| merge_key(node, into)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::documents;

    #[test]
    fn tags_anchors_and_merge_keys_are_resolved() {
        let text = ".a: &a\n  stage: test\n  script: [x]\nb:\n  <<: *a\n  script: !reference [.a, script]\n";
        let expected = json!({
            ".a": {"stage": "test", "script": ["x"]},
            "b": {"script": {"!reference": [".a", "script"]}, "stage": "test"},
        });
        assert_eq!(documents(text).unwrap(), [expected]);
    }

    #[test]
    fn what_is_not_yaml_is_an_error() {
        assert!(documents("a: [1").is_err());
    }
}
