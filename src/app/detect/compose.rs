//! Compose files, part by part.

use super::interpolate::told;
use super::refuse::COMPOSE;
use super::settings;
use super::source::Source;
use super::yaml::{self, Node, Value};

/// Where the Compose file at the top builds this folder.
pub(super) fn place_of(source: &Source, folder: &str) -> Option<String> {
    let file = source.first(&COMPOSE)?;
    let tree = yaml::parse(source.text(file)?)?;
    let mut services = tree.get("services")?.entries().iter().map(|(_, service)| service);
    services.find(|service| build_of(service).context.as_deref() == Some(folder)).map(|service| at(file, service))
}

pub(super) fn at(file: &str, node: &Node) -> String {
    format!("{file}, line {}", node.line)
}

pub(super) fn image(service: &Node) -> Option<&str> {
    service.get("image").and_then(Node::written).filter(|name| !name.is_empty())
}

/// The names by which other services reach one: its own, and those of its container and networks.
pub(super) fn names<'a>(name: &'a str, service: &'a Node) -> Vec<&'a str> {
    let networks = service.get("networks").map_or(&[][..], Node::entries).iter();
    let aliases = networks.filter_map(|(_, network)| network.get("aliases")).flat_map(Node::items);
    let container = service.get("container_name").into_iter();
    let others = container.chain(aliases).filter_map(Node::text).filter(|other| !other.is_empty());
    [name].into_iter().chain(others).collect()
}

/// The services that one waits for, and whether it waits for their end.
pub(super) fn waits_for(service: &Node) -> Vec<(&str, bool)> {
    let Some(node) = service.get("depends_on") else { return Vec::new() };
    let ends = |one: &Node| one.get("condition").and_then(Node::text) == Some("service_completed_successfully");
    let listed = node.items().iter().filter_map(|item| Some((item.text()?, false)));
    listed.chain(node.entries().iter().map(|(name, one)| (name.as_str(), ends(one)))).collect()
}

/// A command as a line of a shell: a list of words, or a text, whose line ends are blanks unless they are within quotes.
pub(super) fn command(node: &Node) -> Option<String> {
    let text = match node.written() {
        Some(text) if text.contains(['"', '\'']) => told(text.trim(), false),
        Some(text) => told(&text.split_whitespace().collect::<Vec<_>>().join(" "), false),
        None => {
            let words = node.items().iter().filter_map(Node::written);
            words.map(|word| told(&crate::shell::word(word), true)).collect::<Vec<_>>().join(" ")
        }
    };
    (!text.is_empty()).then_some(text)
}

/// What makes two services one image.
#[derive(Debug, Default)]
pub(super) struct Build {
    pub(super) context: Option<String>,
    pub(super) file: Option<String>,
    pub(super) options: Vec<String>,
}

impl PartialEq for Build {
    fn eq(&self, other: &Self) -> bool {
        let file = |build: &Self| build.file.clone().unwrap_or_else(|| "Dockerfile".into());
        self.context == other.context && file(self) == file(other) && self.options == other.options
    }
}

pub(super) fn build_of(service: &Node) -> Build {
    let Some(build) = service.get("build") else { return Build::default() };
    let said = |key: &str| build.get(key).and_then(Node::written).filter(|text| !text.is_empty());
    let context = build.written().or_else(|| said("context")).unwrap_or(".");
    let context = context.trim_start_matches("./").trim_end_matches('/');
    let target = said("target").map(|target| format!("--target={target}"));
    let arguments = settings::pairs(build.get("args"));
    let arguments = arguments.into_iter().filter_map(|(name, value, _)| Some(format!("--build-arg={name}={}", value?)));
    Build {
        context: (!context.is_empty() && context != ".").then(|| context.to_owned()),
        file: said("dockerfile").map(|file| file.trim_start_matches("./").to_owned()),
        options: target.into_iter().chain(arguments).collect(),
    }
}

pub(super) enum Mount {
    /// Nothing that is kept.
    Nothing,
    /// A volume, and where it is; one without a name is the service's own.
    Named(String, String),
    Bind(String, String),
    Other,
}

pub(super) fn mount(node: &Node) -> Mount {
    let said = |key: &str| node.get(key).and_then(Node::written).unwrap_or_default().to_owned();
    let (kind, source, target) = if matches!(node.value, Value::Map(_)) {
        (said("type"), said("source"), said("target"))
    } else {
        let mut parts = node.written().unwrap_or_default().split(':').map(str::to_owned);
        let (first, second) = (parts.next().unwrap_or_default(), parts.next());
        let (source, target) = second.map_or((String::new(), first.clone()), |target| (first, target));
        ("volume".to_owned(), source, target)
    };
    let is_path = kind == "bind" || source.starts_with(['.', '/', '~']);
    let is_part = node.get("volume").is_some_and(|options| options.get("subpath").is_some());
    match kind.as_str() {
        _ if is_path => Mount::Bind(source, target),
        "tmpfs" | "volume" if target == "/tmp" && source.is_empty() => Mount::Nothing,
        "volume" | "" if target.starts_with('/') && !is_part => Mount::Named(source, target),
        _ => Mount::Other,
    }
}
