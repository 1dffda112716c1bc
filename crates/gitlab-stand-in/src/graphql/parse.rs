//! Reads a GraphQL document of one query. Source: <https://spec.graphql.org/October2021/#sec-Language>.
//!
//! Not read, and an error: mutations, fragments, default values, and directives but `@include`.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

use serde_json::{Map, Value};

/// A field that a query asks for, with variables replaced by their values.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// What it is called in the answer.
    pub(crate) alias: String,
    pub(crate) arguments: BTreeMap<String, Value>,
    pub(crate) fields: Vec<Field>,
}

impl Field {
    /// An argument that is a text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.arguments.get(name)?.as_str()
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Mark(char),
    Name(String),
    Text(String),
    Number(i64),
}

struct Reader<'a> {
    tokens: Peekable<std::vec::IntoIter<Token>>,
    given: &'a Map<String, Value>,
    declared: Vec<String>,
}

/// The fields of a query's root, or GitLab's words about what is wrong.
pub(crate) fn parse(query: &str, variables: &Map<String, Value>) -> Result<Vec<Field>, String> {
    let tokens = tokens(query)?.into_iter().peekable();
    let mut reader = Reader { tokens, given: variables, declared: Vec::new() };
    if reader.tokens.next_if_eq(&Token::Name("query".into())).is_some() {
        reader.tokens.next_if(|token| matches!(token, Token::Name(_)));
        reader.variables()?;
    }
    let fields = reader.selection()?;
    match reader.tokens.next() {
        None => Ok(fields),
        Some(token) => Err(unexpected(Some(token))),
    }
}

fn unexpected(token: Option<Token>) -> String {
    match token {
        None => "Unexpected end of document".into(),
        Some(Token::Mark(mark)) => format!("Expected another token, actual: {mark:?}"),
        Some(Token::Name(text) | Token::Text(text)) => format!("Expected another token, actual: {text:?}"),
        Some(Token::Number(number)) => format!("Expected another token, actual: {number}"),
    }
}

fn tokens(query: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = query.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            // A comma is white space.
            ',' => {}
            c if c.is_whitespace() => {}
            '#' => while rest.next_if(|c| *c != '\n').is_some() {},
            '{' | '}' | '(' | ')' | '[' | ']' | ':' | '!' | '$' | '@' => found.push(Token::Mark(c)),
            '"' => {
                let text = take(&mut rest, |c| c != '"' && c != '\\' && c != '\n');
                if rest.next() != Some('"') {
                    return Err(format!("the stand-in reads no such text: {text:?}"));
                }
                found.push(Token::Text(text));
            }
            c if c.is_ascii_digit() => {
                let text = format!("{c}{}", take(&mut rest, |c| c.is_ascii_digit()));
                found.push(Token::Number(text.parse().map_err(|_| format!("Expected a number, actual: {text}"))?));
            }
            c if c.is_ascii_alphabetic() || c == '_' => {
                let text = take(&mut rest, |c| c.is_ascii_alphanumeric() || c == '_');
                found.push(Token::Name(format!("{c}{text}")));
            }
            other => return Err(format!("Expected another token, actual: {other:?}")),
        }
    }
    Ok(found)
}

fn take(rest: &mut Peekable<Chars<'_>>, is_part: impl Fn(char) -> bool) -> String {
    std::iter::from_fn(|| rest.next_if(|c| is_part(*c))).collect()
}

impl Reader<'_> {
    fn mark(&mut self, mark: char) -> Result<(), String> {
        match self.tokens.next() {
            Some(Token::Mark(found)) if found == mark => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    fn is_next(&mut self, mark: char) -> bool {
        self.tokens.next_if_eq(&Token::Mark(mark)).is_some()
    }

    fn name(&mut self) -> Result<String, String> {
        match self.tokens.next() {
            Some(Token::Name(name)) => Ok(name),
            other => Err(unexpected(other)),
        }
    }

    /// `($name: Type!, …)`. Those that must be there are.
    fn variables(&mut self) -> Result<(), String> {
        if !self.is_next('(') {
            return Ok(());
        }
        while !self.is_next(')') {
            self.mark('$')?;
            let name = self.name()?;
            self.mark(':')?;
            let list = self.is_next('[');
            let kind = self.name()?;
            if list {
                self.is_next('!');
                self.mark(']')?;
            }
            if self.is_next('!') && self.given.get(&name).is_none_or(Value::is_null) {
                return Err(format!("Variable ${name} of type {kind}! was provided invalid value"));
            }
            self.declared.push(name);
        }
        Ok(())
    }

    fn selection(&mut self) -> Result<Vec<Field>, String> {
        self.mark('{')?;
        let mut fields = Vec::new();
        while !self.is_next('}') {
            let alias = self.name()?;
            let name = if self.is_next(':') { self.name()? } else { alias.clone() };
            let arguments = self.arguments()?;
            let is_included = !self.is_next('@') || {
                let directive = self.name()?;
                match (directive.as_str(), self.arguments()?.get("if")) {
                    ("include", Some(Value::Bool(is_included))) => *is_included,
                    _ => return Err(format!("Directive @{directive} is not read, or has no value")),
                }
            };
            let has_fields = self.tokens.peek() == Some(&Token::Mark('{'));
            let inner = if has_fields { self.selection()? } else { Vec::new() };
            if is_included {
                fields.push(Field { name, alias, arguments, fields: inner });
            }
        }
        Ok(fields)
    }

    fn arguments(&mut self) -> Result<BTreeMap<String, Value>, String> {
        let mut arguments = BTreeMap::new();
        if self.is_next('(') {
            while !self.is_next(')') {
                let name = self.name()?;
                self.mark(':')?;
                arguments.insert(name, self.value()?);
            }
        }
        Ok(arguments)
    }

    fn value(&mut self) -> Result<Value, String> {
        match self.tokens.next() {
            Some(Token::Text(text)) => Ok(text.into()),
            Some(Token::Number(number)) => Ok(number.into()),
            Some(Token::Name(name)) => Ok(match name.as_str() {
                "true" | "false" => (name == "true").into(),
                "null" => Value::Null,
                // A word of an enumeration.
                _ => name.into(),
            }),
            Some(Token::Mark('[')) => {
                let mut all = Vec::new();
                while !self.is_next(']') {
                    all.push(self.value()?);
                }
                Ok(all.into())
            }
            Some(Token::Mark('$')) => {
                let name = self.name()?;
                if !self.declared.contains(&name) {
                    return Err(format!("Variable ${name} is used by anonymous query but not declared"));
                }
                Ok(self.given.get(&name).cloned().unwrap_or_default())
            }
            other => Err(unexpected(other)),
        }
    }
}
