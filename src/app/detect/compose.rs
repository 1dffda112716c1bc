//! Compose files: services of the repo's own image without a port are workers, and one of Postgres's or Redis's image is a service of the host.

use super::procfile::{is_migration, tool};
use super::refuse::COMPOSE;
use super::source::{Said, Source, lines};
use super::worker::add;
use super::{Facts, backing};

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

/// Reads the services that the application needs, and its workers, unless others are known. Line by line, as these files are written: a
/// service, then its keys, each deeper.
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
    let mut all: Vec<Service> = Vec::new();
    let (mut is_inside, mut outer, mut inner) = (false, None, None);
    for (number, line) in lines(text) {
        let depth = line.len() - line.trim_start().len();
        let Some((key, value)) = line.trim().split_once(':') else { continue };
        let value = value.split(" #").next().unwrap_or_default().trim();
        if depth == 0 {
            is_inside = key == "services";
        } else if is_inside && depth == *outer.get_or_insert(depth) {
            all.push(Service { name: key.to_owned(), ..Service::default() });
            inner = None;
        } else if let Some(service) = all.last_mut().filter(|_| is_inside)
            && depth == *inner.get_or_insert(depth)
        {
            match key {
                "build" | "<<" => service.is_own = true,
                "image" => {
                    value.trim_matches(['"', '\'']).clone_into(&mut service.image);
                    service.origin = format!("{file}, line {number}");
                }
                "ports" | "expose" | "profiles" => service.is_reached = true,
                "command" => {
                    service.command = command(value).map(|text| Said::new(text, format!("{file}, line {number}")));
                }
                _ => {}
            }
        }
    }
    all
}

/// A command in one line, or a list of words there that need no quotes.
fn command(value: &str) -> Option<String> {
    if value.starts_with('[') {
        let words: Vec<String> = serde_json::from_str(&value.replace('\'', "\"")).ok()?;
        return Some(words.iter().map(|word| crate::shell::word(word)).collect::<Vec<_>>().join(" "));
    }
    let text = value.trim_matches(['"', '\'']);
    (!text.is_empty() && !text.starts_with(['|', '>', '*'])).then(|| text.to_owned())
}
