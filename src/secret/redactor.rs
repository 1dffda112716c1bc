//! Finds the secrets of this process in any text, in the forms in which a peer can repeat them.
//!
//! [`Secret::new`](super::Secret::new) registers each secret here. Every outlet passes its text through [`redact`] or [`redact_json`]:
//! terminal, `--json`, journal, receipts, evidence, saved plans and errors. So it does not matter who sent the text, or why.
//!
//! A secret is found
//!
//! - as it is, and as JSON and forms write it; of one with several lines, such as a key, each line of [`LINE`] bytes or more;
//! - in base64, in both alphabets, with and without padding, at any place in the encoded text: alone, or in the `user:secret` of HTTP's
//!   Basic authentication;
//! - in base64 in lines of 120 characters, as programs for a host have it;
//! - percent-encoded, whichever of its characters are, up to three times over, and so are the forms above.
//!
//! Secrets shorter than [`SHORTEST`] bytes are not searched for: they occur by chance. A longer one can be a common word too; then that
//! word is not shown.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::{LazyLock, PoisonError, RwLock};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;
use zeroize::Zeroizing;

/// The shortest secret that is searched for, in bytes.
pub const SHORTEST: usize = 8;

/// The shortest line of a secret that is searched for by itself, in bytes. A key's are longer; `username=` and the like are shorter.
const LINE: usize = 40;

/// What stands for a secret.
const MARK: &str = "[secret]";

/// How often over a text can be percent-encoded.
const LAYERS: usize = 3;

/// The secrets stay until [`forget_all`], because a peer can repeat one after its last use.
static KNOWN: LazyLock<RwLock<Known>> = LazyLock::new(RwLock::default);

/// All forms of all secrets. A form lies where its first bytes say, so the time that a text takes hardly grows with their number.
#[derive(Default)]
struct Known {
    /// Keyed hashes of the secrets, to take each once.
    seen: HashSet<u64>,
    key: RandomState,
    /// 2 to the power of [`BITS`] of them, or none while no secret is known.
    places: Vec<Vec<Form>>,
}

struct Form {
    text: Zeroizing<String>,
    /// Whether these are the base64 characters that depend on the secret alone, whatever surrounds it.
    is_encoded: bool,
}

const BITS: u32 = 14;

/// Where the forms lie that begin so: a multiplicative hash, with Knuth's factor.
fn place(start: &[u8]) -> Option<usize> {
    let start = u64::from_le_bytes(*start.first_chunk::<SHORTEST>()?);
    usize::try_from(start.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - BITS)).ok()
}

impl Known {
    fn contains(&self, secret: &str) -> bool {
        self.seen.contains(&self.key.hash_one(secret))
    }

    fn add(&mut self, secret: &str) {
        if !self.seen.insert(self.key.hash_one(secret)) {
            return;
        }
        self.places.resize_with(1 << BITS, Vec::new);
        let mut add = |text: &str, is_encoded| {
            let Some(place) = place(text.as_bytes()) else { return };
            let alike = &mut self.places[place];
            if alike.iter().all(|known| known.text.as_str() != text || known.is_encoded != is_encoded) {
                alike.push(Form { text: Zeroizing::new(text.to_owned()), is_encoded });
            }
        };
        let json = Zeroizing::new(Value::from(secret).to_string());
        let inner = json.get(1..json.len() - 1).unwrap_or_default();
        let wrapped = base64_lines(secret.as_bytes());
        for text in [secret, inner, &secret.replace(' ', "+"), &in_percents(secret), &wrapped] {
            add(text, false);
        }
        secret.lines().filter(|line| line.len() >= LINE).for_each(|line| add(line, false));
        for before in 0..3 {
            add(&core(&STANDARD_NO_PAD, secret, before), true);
            add(&core(&URL_SAFE_NO_PAD, secret, before), true);
        }
    }
}

/// The characters of base64 that depend on the secret alone if `before` bytes, modulo three, stand before it.
fn core(engine: &impl Engine, secret: &str, before: usize) -> Zeroizing<String> {
    let bytes = Zeroizing::new([vec![0; before], secret.as_bytes().to_vec()].concat());
    let all = Zeroizing::new(engine.encode(&*bytes));
    let (first, end) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    Zeroizing::new(all.get(first..end).unwrap_or_default().to_owned())
}

/// base64 in lines of 120 characters.
pub(crate) fn base64_lines(bytes: &[u8]) -> Zeroizing<String> {
    let encoded = Zeroizing::new(STANDARD.encode(bytes));
    let lines = encoded.as_bytes().chunks(120).filter_map(|line| std::str::from_utf8(line).ok());
    Zeroizing::new(lines.collect::<Vec<_>>().join("\n"))
}

/// What [`decoded`] leaves of a text whose bytes were all percent-encoded.
fn in_percents(text: &str) -> String {
    let part = |byte: u8| if byte.is_ascii() { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(part).collect()
}

/// Registers a secret for redaction.
pub(super) fn register(secret: &str) {
    if secret.len() >= SHORTEST && !KNOWN.read().unwrap_or_else(PoisonError::into_inner).contains(secret) {
        KNOWN.write().unwrap_or_else(PoisonError::into_inner).add(secret);
    }
}

/// Wipes all registered secrets from memory: the last thing that a process does.
pub fn forget_all() {
    *KNOWN.write().unwrap_or_else(PoisonError::into_inner) = Known::default();
}

/// `text` with `[secret]` in place of every secret of this process. The module says which forms are found.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    if known.places.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut found = Vec::new();
    search(&known, text, &mut |span| found.push(span));
    let mut layer = decoded(text, |at| at);
    for _ in 0..LAYERS {
        let Some((inner, places)) = layer else { break };
        search(&known, &inner, &mut |span| found.push(places[span.start]..places[span.end]));
        layer = decoded(&inner, |at| places[at]);
    }
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    found.sort_unstable_by_key(|span| (span.start, span.end));
    let (mut shown, mut end) = (String::with_capacity(text.len()), 0);
    for span in found {
        if span.start >= end {
            shown.push_str(&text[end..span.start]);
            shown.push_str(MARK);
        }
        end = end.max(span.end);
    }
    shown.push_str(&text[end..]);
    Cow::Owned(shown)
}

/// The same for every text in a JSON value. Text that is JSON already could not be read any more after [`redact`].
pub fn redact_json(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(shown) = redact(text) {
                *text = shown;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(redact_json),
        Value::Object(map) => {
            if map.keys().any(|key| matches!(redact(key), Cow::Owned(_))) {
                *map = std::mem::take(map).into_iter().map(|(key, value)| (redact(&key).into_owned(), value)).collect();
            }
            map.values_mut().for_each(redact_json);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn search(known: &Known, text: &str, found: &mut dyn FnMut(Range<usize>)) {
    for (at, start) in text.as_bytes().windows(SHORTEST).enumerate() {
        for form in place(start).and_then(|place| known.places.get(place)).into_iter().flatten() {
            if text.as_bytes()[at..].starts_with(form.text.as_bytes()) {
                let part = at..at + form.text.len();
                found(if form.is_encoded { run(text, part) } else { part });
            }
        }
    }
}

/// All of the base64 around a part of it: the characters at its edges hold bits of the secret.
fn run(text: &str, part: Range<usize>) -> Range<usize> {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte);
    let bytes = text.as_bytes();
    let before = bytes[..part.start].iter().rev().take_while(|byte| is_base64(byte)).count();
    let mut start = part.start - before;
    // In `\nABC` the `n` belongs to the backslash.
    if before > 0 && start > 0 && bytes[start - 1] == b'\\' {
        start += 1;
    }
    let end = part.end + bytes[part.end..].iter().take_while(|byte| is_base64(byte)).count();
    start..end + bytes[end..].iter().take_while(|byte| **byte == b'=').count()
}

/// The text without one layer of percent-encoding, and for each of its bytes, and its end, the `place` of that in the text. Bytes that are
/// no ASCII stay encoded, with capital digits, so that it stays a text. `None` if nothing is encoded.
fn decoded(text: &str, place: impl Fn(usize) -> usize) -> Option<(String, Vec<usize>)> {
    let digit = |at: usize| text.as_bytes().get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let encoded = |at: usize| u8::try_from(digit(at + 1)? * 16 + digit(at + 2)?).ok();
    let (mut inner, mut places, mut is_encoded) = (String::new(), Vec::new(), false);
    let mut rest = if text.contains('%') { text.char_indices() } else { return None };
    while let Some((at, character)) = rest.next() {
        let (before, byte) = (inner.len(), if character == '%' { encoded(at) } else { None });
        if let Some(byte) = byte {
            is_encoded = true;
            rest.nth(1);
            if byte.is_ascii() { inner.push(byte.into()) } else { inner.push_str(&format!("%{byte:02X}")) }
        } else {
            inner.push(character);
        }
        places.extend((at..).take(inner.len() - before).map(&place));
    }
    places.push(place(text.len()));
    is_encoded.then_some((inner, places))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::json;

    use super::*;
    use crate::secret::Secret;

    /// As a careless peer would encode it: every byte.
    fn percent(text: &str) -> String {
        text.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat()
    }

    fn is_hidden(text: &str) {
        assert_eq!(redact(&format!("said {text} then")), "said [secret] then", "{text}");
    }

    #[test]
    fn a_secret_is_found_in_every_form() {
        for text in ["glpat-Zq81_forms", "k\u{fc}r>bis \"A\\1?~~", "exactly8"] {
            let _kept = Secret::new(text);
            is_hidden(text);
            let json = Value::from(text).to_string();
            is_hidden(&json[1..json.len() - 1]);
            let once = percent(text);
            for encoded in
                [once.clone(), once.to_uppercase(), percent(&once), text.replace(' ', "+"), once.replace("%2d", "-")]
            {
                is_hidden(&encoded);
            }
            for before in ["", "u:", "oauth2:", "a:", "Zw", "longer-than-that:"] {
                for after in ["", "x", "\n\n"] {
                    let login = format!("{before}{text}{after}");
                    for encoded in [
                        base64::engine::general_purpose::STANDARD.encode(&login),
                        STANDARD_NO_PAD.encode(&login),
                        URL_SAFE_NO_PAD.encode(&login),
                        base64::engine::general_purpose::URL_SAFE.encode(&login),
                    ] {
                        is_hidden(&encoded);
                        is_hidden(&percent(&encoded));
                        is_hidden(&encoded.replace('=', "%3D").replace('+', "%2B").replace('/', "%2F"));
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_beside_a_secret_stays() {
        let _kept = Secret::new("glpat-beside_1");
        assert_eq!(redact("a%20b glpat-beside_1,glpat-beside_1 50% \u{fc}"), "a%20b [secret],[secret] 50% \u{fc}");
        assert!(matches!(redact("glpat-beside_2 %41 \u{fc}%"), Cow::Borrowed(_)));
        let inner = STANDARD_NO_PAD.encode("x:glpat-beside_1");
        assert_eq!(redact(&format!("\\n{inner}")), "\\n[secret]");
        // Too short to be told from chance.
        let _short = Secret::new("short-7");
        assert_eq!(redact("short-7"), "short-7");
    }

    #[test]
    fn a_key_is_found_line_by_line_and_in_a_host_program() {
        let line = |n: u8| format!("{n}{}", "line/of+a/key".repeat(4));
        let key = format!("-----BEGIN A KEY-----\n{}\n{}\nusername=x\n-----END A KEY-----\n", line(1), line(2));
        let _kept = Secret::new(key.as_str());
        is_hidden(&key);
        is_hidden(&line(2));
        assert_eq!(redact("username=x"), "username=x");
        let lines = base64_lines(key.as_bytes());
        assert!(lines.contains('\n'), "{lines:?}");
        is_hidden(&lines);
    }

    #[test]
    fn json_stays_json() {
        let _kept = Secret::new("glpat-in-\"json\"");
        let mut value = json!({ "a": ["x glpat-in-\"json\"", 1], "glpat-in-\"json\"": { "b": null } });
        redact_json(&mut value);
        assert_eq!(value, json!({ "a": ["x [secret]", 1], "[secret]": { "b": null } }));
    }

    #[test]
    fn a_large_plan_is_searched_in_no_time() {
        let _kept: Vec<_> = (0..8).map(|n| Secret::new(format!("glpat-many-{n}"))).collect();
        let text = "The quick brown fox glpat- jumps over%20the lazy dog. Z2xwYXQt\n".repeat(16 * 1024);
        let since = Instant::now();
        assert!(matches!(redact(&text), Cow::Borrowed(_)));
        // 1 MiB; a debug build on a busy machine. A release build takes some 2 ms.
        assert!(since.elapsed() < Duration::from_mins(1), "{:?}", since.elapsed());
    }
}
