//! `spec:inputs` and `$[[ inputs.name ]]`, on the parsed tree, so that a list or a switch keeps its type.
//!
//! Source: <https://docs.gitlab.com/ci/inputs/>. Functions after `|` are skipped over, not applied.

use serde_json::{Map, Value};

/// The inputs of an included file: what was given, checked against what its header declares, with defaults filled in.
pub(super) fn resolve(name: &str, header: &Value, given: &Map<String, Value>) -> Result<Map<String, Value>, String> {
    let declared = match &header["spec"]["inputs"] {
        Value::Object(inputs) => inputs.clone(),
        _ => Map::new(),
    };
    let unknown: Vec<_> = given.keys().filter(|key| !declared.contains_key(*key)).map(String::as_str).collect();
    if !unknown.is_empty() {
        return Err(format!("`{name}`: unknown input arguments: {}", unknown.join(", ")));
    }
    let mut inputs = Map::new();
    for (key, rule) in &declared {
        let value = match given.get(key).or_else(|| rule.get("default")) {
            Some(value) => value.clone(),
            None => return Err(format!("`{name}`: `{key}` input: required value has not been provided")),
        };
        check(name, key, rule, &value)?;
        inputs.insert(key.clone(), value);
    }
    Ok(inputs)
}

fn check(name: &str, key: &str, rule: &Value, value: &Value) -> Result<(), String> {
    let kind = rule["type"].as_str().unwrap_or("string");
    let fits = match kind {
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        other => return Err(format!("`{name}`: `{key}` input: unknown type {other}")),
    };
    if !fits {
        return Err(format!("`{name}`: `{key}` input: provided value is not a {kind}"));
    }
    match &rule["options"] {
        Value::Array(options) if !options.contains(value) => Err(format!(
            "`{name}`: `{key}` input: `{}` cannot be used because it is not in the list of allowed options",
            text(value)
        )),
        _ => Ok(()),
    }
}

/// Puts the inputs where `$[[ inputs.name ]]` asks for them.
pub(super) fn interpolate(name: &str, node: &Value, inputs: &Map<String, Value>) -> Result<Value, String> {
    Ok(match node {
        Value::String(text) => scalar(name, text, inputs)?,
        Value::Array(nodes) => {
            Value::Array(nodes.iter().map(|node| interpolate(name, node, inputs)).collect::<Result<_, _>>()?)
        }
        Value::Object(map) => {
            let mut done = Map::new();
            for (key, node) in map {
                done.insert(text(&scalar(name, key, inputs)?), interpolate(name, node, inputs)?);
            }
            Value::Object(done)
        }
        other => other.clone(),
    })
}

fn scalar(name: &str, source: &str, inputs: &Map<String, Value>) -> Result<Value, String> {
    let mut result = String::new();
    let mut rest = source;
    while let Some((before, after)) = rest.split_once("$[[") {
        let Some((inside, tail)) = after.split_once("]]") else { break };
        let access = inside.split('|').next().unwrap_or_default().trim();
        let value = access.strip_prefix("inputs.").and_then(|key| inputs.get(key));
        let value = value.ok_or_else(|| format!("`{name}`: unknown interpolation key: `{access}`"))?;
        if before.is_empty() && tail.is_empty() && result.is_empty() {
            return Ok(value.clone());
        }
        result.push_str(before);
        result.push_str(&text(value));
        rest = tail;
    }
    result.push_str(rest);
    Ok(result.into())
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::{interpolate, resolve};

    fn map(value: Value) -> Map<String, Value> {
        let Value::Object(map) = value else { unreachable!("written as an object above") };
        map
    }

    #[test]
    fn lists_keep_their_type_and_texts_are_put_together() {
        let inputs = map(json!({"root": "dns", "tags": ["trusted"]}));
        let node =
            json!({"plan:$[[ inputs.root ]]": {"tags": "$[[ inputs.tags ]]", "script": ["x $[[ inputs.root ]] y"]}});
        let expected = json!({"plan:dns": {"tags": ["trusted"], "script": ["x dns y"]}});
        assert_eq!(interpolate("c", &node, &inputs).unwrap(), expected);
    }

    #[test]
    fn what_does_not_fit_the_header_is_refused() {
        let header = json!({"spec": {"inputs": {"tier": {"options": ["production", "other"]}, "on": {"type": "boolean", "default": true}}}});
        let given = |value| map(value);
        assert_eq!(resolve("c", &header, &given(json!({"tier": "other"}))).unwrap()["on"], true);
        for (inputs, problem) in [
            (json!({}), "required value has not been provided"),
            (json!({"tier": "prod"}), "not in the list of allowed options"),
            (json!({"tier": "other", "on": "yes"}), "not a boolean"),
            (json!({"tier": "other", "of": 1}), "unknown input arguments: of"),
        ] {
            let error = resolve("c", &header, &given(inputs)).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
    }
}
