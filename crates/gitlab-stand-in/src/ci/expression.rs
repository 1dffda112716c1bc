//! The expressions of `rules:if`.
//!
//! Grammar: `||` over `&&` over comparisons (`==`, `!=`, `=~`, `!~`) of variables, texts, `null` and `/patterns/`, with
//! parentheses. A variable alone is true when it is set and not empty. Source:
//! <https://docs.gitlab.com/ci/jobs/job_rules/#cicd-variable-expressions>.

use regex_lite::Regex;

use crate::model::Variables;

/// Whether an expression holds; an error when it is not one.
pub(super) fn holds(expression: &str, variables: &Variables) -> Result<bool, String> {
    let invalid = || format!("invalid expression syntax: {expression}");
    let tokens = tokens(expression).ok_or_else(invalid)?;
    let mut parser = Parser { tokens: &tokens, variables };
    let value = parser.any().ok_or_else(invalid)?;
    if parser.tokens.is_empty() { Ok(value) } else { Err(invalid()) }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Or,
    And,
    Open,
    Close,
    Equal,
    NotEqual,
    Match,
    NotMatch,
    Variable(String),
    Text(String),
    /// As written, with its slashes and flags.
    Pattern(String),
    Null,
}

fn tokens(source: &str) -> Option<Vec<Token>> {
    const SIGNS: &[(&str, Token)] = &[
        ("||", Token::Or),
        ("&&", Token::And),
        ("==", Token::Equal),
        ("!=", Token::NotEqual),
        ("=~", Token::Match),
        ("!~", Token::NotMatch),
        ("(", Token::Open),
        (")", Token::Close),
        ("null", Token::Null),
    ];
    let mut tokens = Vec::new();
    let mut rest = source.trim_start();
    while let Some(first) = rest.chars().next() {
        let sign = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign));
        let (token, length) = if let Some((sign, token)) = sign {
            (token.clone(), sign.len())
        } else {
            match first {
                '$' => {
                    let end = rest[1..]
                        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                        .map_or(rest.len(), |at| at + 1);
                    (Token::Variable(rest[1..end].to_owned()), end)
                }
                '"' | '\'' => {
                    let end = rest[1..].find(first)? + 1;
                    (Token::Text(rest[1..end].to_owned()), end + 1)
                }
                '/' => {
                    let end = closing_slash(rest)?;
                    let flags =
                        rest[end + 1..].find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len() - end - 1);
                    (Token::Pattern(rest[..=end + flags].to_owned()), end + 1 + flags)
                }
                _ => return None,
            }
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Some(tokens)
}

/// The slash that ends a pattern: the first after the opening one that is not escaped.
fn closing_slash(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().skip(1).find_map(|(at, c)| {
        let ends = c == '/' && !escaped;
        escaped = c == '\\' && !escaped;
        ends.then_some(at)
    })
}

/// A value; nothing for `null` and for what is unset.
#[derive(PartialEq, Eq)]
struct Operand(Option<String>);

struct Parser<'a> {
    tokens: &'a [Token],
    variables: &'a Variables,
}

impl Parser<'_> {
    fn take(&mut self, wanted: &Token) -> bool {
        let found = self.tokens.first() == Some(wanted);
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }

    fn any(&mut self) -> Option<bool> {
        let mut value = self.all()?;
        while self.take(&Token::Or) {
            value |= self.all()?;
        }
        Some(value)
    }

    fn all(&mut self) -> Option<bool> {
        let mut value = self.comparison()?;
        while self.take(&Token::And) {
            value &= self.comparison()?;
        }
        Some(value)
    }

    fn comparison(&mut self) -> Option<bool> {
        if self.take(&Token::Open) {
            let value = self.any()?;
            return self.take(&Token::Close).then_some(value);
        }
        let left = self.operand()?;
        if self.take(&Token::Equal) {
            return Some(left == self.operand()?);
        }
        if self.take(&Token::NotEqual) {
            return Some(left != self.operand()?);
        }
        if self.take(&Token::Match) {
            return self.matches(left.0.as_deref());
        }
        if self.take(&Token::NotMatch) {
            return self.matches(left.0.as_deref()).map(|matches| !matches);
        }
        Some(left.0.is_some_and(|text| !text.is_empty()))
    }

    fn operand(&mut self) -> Option<Operand> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        match first {
            Token::Variable(name) => Some(Operand(self.variables.get(name).cloned())),
            Token::Text(text) | Token::Pattern(text) => Some(Operand(Some(text.clone()))),
            Token::Null => Some(Operand(None)),
            _ => None,
        }
    }

    /// Whether a text matches the pattern that follows, written there or held by a variable. What is unset matches nothing.
    fn matches(&mut self, text: Option<&str>) -> Option<bool> {
        let Operand(Some(written)) = self.operand()? else { return Some(false) };
        let (pattern, flags) = written.strip_prefix('/')?.rsplit_once('/')?;
        let flags: String = flags.chars().filter(|flag| "ims".contains(*flag)).collect();
        let pattern = pattern.replace("\\/", "/");
        let regex = Regex::new(&if flags.is_empty() { pattern } else { format!("(?{flags}){pattern}") }).ok()?;
        Some(text.is_some_and(|text| regex.is_match(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Variables, holds};

    #[test]
    fn expressions_hold_as_gitlab_documents_them() {
        let variables: Variables = [("A", "main"), ("EMPTY", ""), ("TAG", "v1.2"), ("PATTERN", "/^ma/"), ("T", "true")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        for (expression, expected) in [
            ("$A == \"main\"", true),
            ("$A != 'main'", false),
            ("$A", true),
            ("$EMPTY", false),
            ("$NONE", false),
            ("$NONE == null", true),
            ("$EMPTY == null", false),
            ("$EMPTY == \"\"", true),
            ("$NONE == $ALSO_NONE", true),
            ("$TAG =~ /^v[0-9]/", true),
            ("$TAG !~ /^V/", true),
            ("$TAG =~ /^V/i", true),
            ("$NONE =~ /./", false),
            ("$A =~ $PATTERN", true),
            ("$A == \"x\" && $T == \"true\" || $TAG", true),
            ("$A == \"x\" && ($T == \"true\" || $TAG)", false),
            ("$TAG =~ /a\\/b|v1/ && $A", true),
        ] {
            assert_eq!(holds(expression, &variables), Ok(expected), "{expression}");
        }
    }

    #[test]
    fn what_is_no_expression_is_an_error() {
        for expression in ["", "$A ==", "$A = \"x\"", "($A", "$A $T", "$A =~ \"x\"", "main"] {
            assert!(holds(expression, &Variables::new()).is_err(), "{expression}");
        }
    }
}
