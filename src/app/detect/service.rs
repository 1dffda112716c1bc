//! What a Compose file says of a release: which of its services is the application, which of the others are its workers, its migration and
//! services of the host. A line that matters, and means nothing there, is a fault: no line is left out in silence. Faults refuse a repo
//! that only its Compose file describes. In another one they are notes.

mod keys;
mod process;

use std::collections::BTreeMap;

use super::backing::{self, Kind};
use super::compose::{Mount, at, build_of, image, mount, names};
use super::container::has_entry;
use super::interpolate;
use super::refuse::{COMPOSE, CONTAINER};
use super::settings::Settings;
use super::source::{Said, Source, is_line, is_plain};
use super::worker::add;
use super::yaml::{self, Node};
use super::{Facts, Refusal, Wishes};
use crate::shell::word;

/// Files that Compose reads besides.
const OVERRIDES: [&str; 4] =
    ["compose.override.yaml", "compose.override.yml", "docker-compose.override.yml", "docker-compose.override.yaml"];

/// What a release cannot have: where it says so, and what to do.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) why: String,
    pub(super) remedy: String,
}

/// How the image is built and started.
#[derive(Debug)]
pub(super) struct Mapped {
    /// The build's context, if that is not the top, and its folder.
    pub(super) below: Option<(Source, Said)>,
    /// The container file there.
    pub(super) file: String,
    pub(super) step: Said,
    pub(super) start: Option<Said>,
}

/// What is found; the processes are settled after other sources had their turn.
#[derive(Debug, Default)]
pub(super) struct Compose {
    pub(super) mapped: Option<Mapped>,
    workers: Vec<(String, Said)>,
    migrate: Option<Said>,
}

impl Compose {
    pub(super) fn settle(self, facts: &mut Facts) {
        if facts.workers.is_empty() {
            for (name, said) in self.workers {
                add(facts, &name, &said.value, said.origin);
            }
        }
        facts.migrate = facts.migrate.take().or(self.migrate);
    }
}

/// How much of a release the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    /// Everything: nothing else describes the repo.
    All,
    /// How the image is run, besides the container file, which decides.
    Image,
    /// Which processes and services there are.
    Processes,
}

#[derive(Debug)]
struct Reader<'a> {
    file: &'a str,
    tree: &'a Node,
    source: &'a Source,
    wishes: &'a Wishes,
    says: Says,
    /// Whether processes run in the image, and whether that has an entry point.
    is_image: bool,
    has_entry: bool,
    found: Compose,
    faults: Vec<Fault>,
    settings: Settings,
    ports: Vec<(String, String)>,
    volumes: Vec<(String, Said)>,
    health: Option<Said>,
    notes: Vec<String>,
    /// Notes that are only of interest if the image is mapped.
    of_image: Vec<String>,
}

/// Reads the Compose file at the top.
pub(super) fn read(source: &Source, wishes: &Wishes, facts: &mut Facts) -> Result<Compose, Refusal> {
    let Some(file) = source.first(&COMPOSE) else { return Ok(Compose::default()) };
    let says = match source.first(&CONTAINER) {
        _ if !facts.is_container || wishes.stack.is_some() => Says::Processes,
        Some(_) => Says::Image,
        None => Says::All,
    };
    let Some(tree) = source.text(file).and_then(yaml::parse) else {
        let why = format!("{file} is not YAML that can be read");
        if says == Says::All {
            return Err(Refusal::new(why, "fix it and commit"));
        }
        facts.notes.push(why);
        return Ok(Compose::default());
    };
    let variables = source.text(".env").map(interpolate::variables).unwrap_or_default();
    let tree = interpolate::fill(tree, &variables, false);
    let mut reader = Reader {
        file,
        tree: &tree,
        source,
        wishes,
        says,
        is_image: facts.is_container,
        has_entry: false,
        found: Compose::default(),
        faults: Vec::new(),
        settings: Settings::default(),
        ports: Vec::new(),
        volumes: Vec::new(),
        health: None,
        notes: Vec::new(),
        of_image: Vec::new(),
    };
    let mapped = reader.map(&variables, facts);
    facts.notes.append(&mut reader.notes);
    reader.faults.append(&mut reader.settings.faults);
    if let Some(mapped) = mapped.filter(|_| reader.faults.is_empty()) {
        let overrides = source.first(&OVERRIDES);
        facts.notes.extend(overrides.map(|file| format!("{file} is not read, as it is for development")));
        facts.health = reader.health;
        facts.data.extend(reader.volumes.into_iter().map(|(_, said)| said));
        facts.notes.extend(reader.of_image.into_iter().chain(reader.settings.notes));
        if facts.build.is_empty() {
            facts.build.push(mapped.step.clone());
        }
        facts.env.extend(reader.settings.needed);
        facts.port_variable = reader.settings.port;
        return Ok(Compose { mapped: Some(mapped), ..reader.found });
    }
    if says == Says::All {
        let why: Vec<String> = reader.faults.iter().map(|fault| fault.why.clone()).collect();
        let mut hints: Vec<String> = Vec::new();
        for fault in reader.faults {
            if !hints.contains(&fault.remedy) {
                hints.push(fault.remedy);
            }
        }
        return Err(Refusal { why: why.join("; "), hints });
    }
    let decides = if says == Says::Image { "; the container file decides how the image is built and run" } else { "" };
    facts.notes.extend(reader.faults.into_iter().map(|fault| format!("{}{decides}", fault.why)));
    Ok(reader.found)
}

impl<'a> Reader<'a> {
    fn fault(&mut self, why: impl Into<String>, remedy: impl Into<String>) {
        self.faults.push(Fault { why: why.into(), remedy: remedy.into() });
    }

    fn map(&mut self, variables: &BTreeMap<String, String>, facts: &mut Facts) -> Option<Mapped> {
        let (file, tree, source) = (self.file, self.tree, self.source);
        if let Some(node) = tree.get("include") {
            self.fault(format!("{} includes other files", at(file, node)), "write it as one Compose file, and commit");
        }
        let all = tree.get("services").map_or(&[][..], Node::entries);
        let (off, all): (Vec<_>, Vec<_>) = all.iter().partition(|(_, service)| service.get("profiles").is_some());
        self.notes.extend(off.iter().map(|(name, service)| {
            format!("{} has the service {name} in a profile, which releases do not run", at(file, service))
        }));
        let is_built = |it: &Node| it.get("build").is_some() && (self.says == Says::All || self.is_of_top(it));
        let images: Vec<&str> = all.iter().filter(|(_, it)| is_built(it)).filter_map(|(_, it)| image(it)).collect();
        let is_own = |it: &Node| {
            is_built(it) || it.get("build").is_none() && image(it).is_some_and(|name| images.contains(&name))
        };
        let (own, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, service)| is_own(service));
        for (name, service) in &own {
            self.settings.hosts.extend(names(name, service).into_iter().map(|host| (host.to_owned(), None)));
        }
        for (name, service) in &others {
            self.other(name, service, facts);
        }
        self.links(&own);
        let (main, base) = self.main(&own)?;
        let build = build_of(base);
        let below = build.context.as_ref().filter(|folder| is_plain(folder) && source.has_folder(folder));
        let below = below.map(|folder| (source.below(folder), Said::new(folder, at(file, main))));
        let inner = below.as_ref().map_or(source, |(source, _)| source);
        let container = build.file.clone().or_else(|| inner.first(&CONTAINER).map(str::to_owned));
        let text = container.as_ref().and_then(|path| inner.text(path)).unwrap_or_default();
        self.has_entry = self.is_image && has_entry(text, build.options.iter().map(String::as_str));
        self.processes(&own, main, &build);
        if self.says == Says::Processes {
            return None;
        }
        let before = self.faults.len();
        for (name, service) in &own {
            self.keys(name, service);
            self.settings.read(file, source, service, variables);
        }
        self.health(main);
        self.build_keys(base);
        if let Some(folder) = build.context.as_ref().filter(|_| below.is_none()) {
            self.fault(
                format!("{}: its context {folder} is no directory of the repo", at(file, main)),
                "build from the repo",
            );
        }
        let Some(container) = container.filter(|path| is_plain(path) && inner.has(path)) else {
            if self.faults.len() == before {
                self.fault(format!("{}: its container file is not in the repo", at(file, main)), "commit it");
            }
            return None;
        };
        let start = if self.wishes.run.is_none() { self.start(main) } else { None };
        self.port(text);
        let options = build.options.iter().chain(&self.settings.set).map(|option| format!(" {}", word(option)));
        let step = Said::new(format!(".factory/image {container}{}", options.collect::<String>()), at(file, main));
        if !is_line(&step.value) {
            self.fault(format!("{}: its options do not fit into a line", step.origin), "shorten its settings");
        }
        Some(Mapped { below, file: container, step, start })
    }

    /// Whether a service is built from the folder that is read, by the file that describes its image.
    fn is_of_top(&self, service: &Node) -> bool {
        let build = build_of(service);
        build.context.is_none()
            && (!self.is_image || build.file.as_deref().is_none_or(|file| CONTAINER.contains(&file)))
    }

    /// The service that visitors reach, and one that says how its image is built.
    fn main(&mut self, own: &[&'a (String, Node)]) -> Option<(&'a Node, &'a Node)> {
        let serves = self.serving(own);
        let with = |key: &str| serves.iter().filter(|(_, it)| it.get(key).is_some()).copied().collect::<Vec<_>>();
        let silent = serves.iter().filter(|(_, it)| it.get("command").or_else(|| it.get("entrypoint")).is_none());
        let reached = [with("ports"), with("expose"), silent.copied().collect(), serves.clone()];
        let [(_, main)] = reached.into_iter().find(|some| !some.is_empty()).unwrap_or_default()[..] else {
            if own.is_empty() && self.says == Says::All {
                self.fault(
                    format!("{} builds no service from the repo", self.file),
                    "adopt the repo that an image is built from",
                );
            } else if !own.is_empty() {
                self.several(own);
            }
            return None;
        };
        let builds = || own.iter().filter(|(_, it)| it.get("build").is_some()).map(|(_, it)| it);
        // One that has the image by its name is built like the service that names it too.
        let is_named = |it: &&Node| image(it).is_some() && image(it) == image(main);
        let built = if main.get("build").is_some() { Some(main) } else { builds().find(is_named) };
        let built = built.or_else(|| builds().next())?;
        if self.says == Says::All && builds().any(|it| build_of(it) != build_of(built)) {
            self.several(own);
            return None;
        }
        Some((main, built))
    }

    fn several(&mut self, own: &[&(String, Node)]) {
        let names: Vec<String> = own.iter().map(|(name, it)| format!("{name} (line {})", it.line)).collect();
        let mut folders: Vec<String> = own.iter().filter_map(|(_, it)| build_of(it).context).collect();
        folders.dedup();
        let flags: Vec<String> = folders.iter().map(|folder| format!("--folder {}", word(folder))).collect();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let remedy = if flags.is_empty() {
            "keep one service that is reached, and give the others no ports; or choose --stack container".to_owned()
        } else {
            format!("adopt one of them, by its own files and without the Compose file: {}", super::one_of(&flags))
        };
        self.fault(
            format!(
                "{}: an application has one image and one port, and these are several: {}",
                self.file,
                names.join(", ")
            ),
            remedy,
        );
    }

    /// One that the host has, or has not.
    fn other(&mut self, name: &str, service: &Node, facts: &mut Facts) {
        let place = at(self.file, service.get("image").unwrap_or(service));
        let what = image(service).unwrap_or("no image");
        let mut kind = None;
        if service.get("build").is_some() {
            self.notes.push(format!(
                "{}: {name} is built as another image, which releases do not run",
                at(self.file, service)
            ));
        } else {
            kind = backing::image(what, &place, facts);
            match kind {
                None if self.says != Says::Processes => self.fault(
                    format!("{place}: {name} runs {what}, and the factory offers Postgres and Redis alone"),
                    "run it elsewhere, delete the service, and put its address into the application's settings",
                ),
                None => backing::other(backing::name(what), &place, facts),
                Some(_) if self.says != Says::Processes => self.backing(name, service),
                Some(_) => {}
            }
        }
        self.settings.hosts.extend(names(name, service).into_iter().map(|host| (host.to_owned(), kind)));
    }

    /// What the host's service does not have.
    fn backing(&mut self, name: &str, service: &Node) {
        for node in service.get("volumes").map_or(&[][..], Node::items) {
            if let Mount::Bind(path, _) = mount(node) {
                self.fault(
                    format!("{}: {name} binds {path}, which the host's service does not have", at(self.file, node)),
                    "do in a migration what a file does when a database is made",
                );
            }
        }
        if let Some(node) = service.get("command") {
            self.of_image
                .push(format!("{} gives {name} options, which the host's service does not have", at(self.file, node)));
        }
    }

    /// Names that a service gives to others.
    fn links(&mut self, own: &[&(String, Node)]) {
        let links = own.iter().filter_map(|(_, it)| it.get("links")).flat_map(Node::items).filter_map(Node::text);
        for (name, alias) in links.filter_map(|link| link.split_once(':')) {
            let kind: Option<Kind> =
                self.settings.hosts.iter().find(|(host, _)| host == name).and_then(|(_, kind)| *kind);
            self.settings.hosts.push((alias.to_owned(), kind));
        }
    }
}

#[cfg(test)]
mod tests;
