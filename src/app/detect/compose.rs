//! Compose files, part by part. Services of the repo's own image without a port are workers, and one of Postgres's or Redis's image is a service
//! of the host.

use super::procfile::{is_migration, tool};
use super::refuse::COMPOSE;
use super::source::{Said, Source};
use super::worker::add;
use super::yaml::{self, Node, Value};
use super::{Facts, backing, settings};

#[derive(Debug, Default)]
struct Service {
    name: String,
    image: String,
    /// Where the image is named.
    origin: String,
    /// Whether it is built from the repo.
    is_own: bool,
    is_reached: bool,
    command: Option<Said>,
}

/// Reads the services that the application needs, and its workers, unless others are known.
pub(super) fn read(source: &Source, facts: &mut Facts) {
    let Some(file) = source.first(&COMPOSE) else { return };
    let services = services(file, source.text(file).unwrap_or_default());
    let images: Vec<&str> = services.iter().filter(|one| one.is_own).map(|one| one.image.as_str()).collect();
    for service in services.iter().filter(|one| !one.is_own && !images.contains(&one.image.as_str())) {
        backing::image(&service.image, &service.origin, facts);
    }
    for service in services.iter().filter(|_| facts.workers.is_empty()).collect::<Vec<_>>() {
        let is_ours = service.is_own || !service.image.is_empty() && images.contains(&service.image.as_str());
        let Some(said) = service.command.as_ref().filter(|_| is_ours && !service.is_reached) else { continue };
        if !is_migration(&said.value) {
            add(facts, &service.name, &said.value, said.origin.clone());
        } else if facts.migrate.is_none() {
            facts.migrate = Some(Said::new(tool(&said.value), &said.origin));
        }
    }
}

fn services(file: &str, text: &str) -> Vec<Service> {
    let tree = yaml::parse(text);
    let all = tree.iter().filter_map(|tree| tree.get("services")).flat_map(Node::entries);
    all.map(|(name, node)| {
        let image = node.get("image");
        let command = node.get("command").and_then(|node| Some(Said::new(command(node)?, at(file, node))));
        Service {
            name: name.clone(),
            image: image.and_then(Node::text).unwrap_or_default().to_owned(),
            origin: image.map(|node| at(file, node)).unwrap_or_default(),
            is_own: node.get("build").is_some(),
            is_reached: ["ports", "expose", "profiles"].iter().any(|key| node.get(key).is_some()),
            command,
        }
    })
    .collect()
}

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

/// A command as a line of a shell: a list of words, or a text, in which `$$` is a dollar.
pub(super) fn command(node: &Node) -> Option<String> {
    let words: Vec<&str> = node.items().iter().filter_map(Node::text).collect();
    let text = match node.text() {
        Some(text) => text.trim().to_owned(),
        None => words.iter().map(|word| crate::shell::word(word)).collect::<Vec<_>>().join(" "),
    };
    (!text.is_empty()).then(|| text.replace("$$", "$"))
}

/// What makes two services one image.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Build {
    pub(super) context: Option<String>,
    pub(super) file: Option<String>,
    pub(super) options: Vec<String>,
}

pub(super) fn build_of(service: &Node) -> Build {
    let Some(build) = service.get("build") else { return Build::default() };
    let said = |key: &str| build.get(key).and_then(Node::text).filter(|text| !text.is_empty());
    let context = build.text().or_else(|| said("context")).unwrap_or(".");
    let context = context.trim_start_matches("./").trim_end_matches('/');
    let target = said("target").map(|target| format!("--target={target}"));
    let arguments = settings::pairs(build.get("args"));
    let arguments = arguments
        .into_iter()
        .filter_map(|(name, value, _)| Some(format!("--build-arg={name}={}", settings::filled(&value?).0)));
    Build {
        context: (!context.is_empty() && context != ".").then(|| context.to_owned()),
        file: said("dockerfile").map(|file| file.trim_start_matches("./").to_owned()),
        options: target.into_iter().chain(arguments).collect(),
    }
}

pub(super) enum Mount {
    Named(String),
    Bind(String, String),
    Other,
}

pub(super) fn mount(node: &Node) -> Mount {
    let said = |key: &str| node.get(key).and_then(Node::text).unwrap_or_default().to_owned();
    let (kind, source, target) = if matches!(node.value, Value::Map(_)) {
        (said("type"), said("source"), said("target"))
    } else {
        let text = settings::filled(node.text().unwrap_or_default()).0;
        let mut parts = text.split(':').map(str::to_owned);
        let (first, second) = (parts.next().unwrap_or_default(), parts.next());
        let (source, target) = second.map_or((String::new(), first.clone()), |target| (first, target));
        ("volume".to_owned(), source, target)
    };
    let is_path = kind == "bind" || source.starts_with(['.', '/', '~', '$']);
    match kind.as_str() {
        _ if is_path => Mount::Bind(source, target),
        "volume" | "" if target.starts_with('/') => Mount::Named(target),
        "tmpfs" if target == "/tmp" => Mount::Named("/tmp".into()),
        _ => Mount::Other,
    }
}
