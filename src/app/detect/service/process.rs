//! Commands of the application's services: what serves, what runs before it, and what runs besides it.

use super::super::compose::{Build, at, build_of, command, waits_for};
use super::super::procfile::{has_words, is_migration, tool};
use super::super::source::{Said, is_line};
use super::super::worker::fit;
use super::super::yaml::Node;
use super::Reader;

/// Words of commands for a developer.
const FOR_DEVELOPERS: [&str; 8] =
    [" dev", "--reload", "nodemon", "--watch", "manage.py runserver", "--debug", "flask run", "debugpy"];
const SERVES: &str = "set the command that serves: --run COMMAND";
const BEFORE: &str = "set what runs before each release: --migrate COMMAND, or --migrate '' for nothing";

impl<'a> Reader<'a> {
    /// Services that can be the one that serves: those that do not end.
    pub(super) fn serving(&self, own: &[&'a (String, Node)]) -> Vec<&'a (String, Node)> {
        let serves = own.iter().filter(|(name, it)| it.get("ports").is_some() || !self.ends(name, it));
        let serves: Vec<_> = serves.copied().collect();
        if serves.is_empty() { own.to_vec() } else { serves }
    }

    /// Whether a service ends before others begin, or is not to be started again when it has ended.
    fn ends(&self, name: &str, service: &Node) -> bool {
        let words = service.get("command").and_then(command).unwrap_or_default();
        self.is_waited_for(name)
            || is_migration(&words)
            || service.get("restart").and_then(Node::text).is_some_and(|text| text == "no" || text == "false")
    }

    fn is_waited_for(&self, name: &str) -> bool {
        let all = self.tree.get("services").map_or(&[][..], Node::entries).iter();
        all.flat_map(|(_, service)| waits_for(service)).any(|(other, ends)| ends && other == name)
    }

    /// What the services besides the one that serves are.
    pub(super) fn processes(&mut self, own: &[&'a (String, Node)], main: &Node, build: &Build) {
        let mut first: Vec<(&str, &Node, Said)> = Vec::new();
        for (name, service) in own.iter().filter(|(_, it)| !std::ptr::eq(it, main)).map(|one| (&one.0, &one.1)) {
            let place = at(self.file, service);
            if service.get("build").is_some() && build_of(service) != *build {
                self.notes.push(format!("{place}: {name} is built as another image, which releases do not run"));
            } else if self.ends(name, service) {
                if self.wishes.migrate.is_none()
                    && let Some(said) = self.once(name, service)
                {
                    first.push((name, service, said));
                }
            } else {
                self.worker(name, service);
            }
        }
        let mut commands: Vec<Said> = Vec::new();
        while !first.is_empty() {
            let waits = |(_, it, _): &(&str, &Node, Said)| {
                waits_for(it).iter().any(|(name, _)| first.iter().any(|(other, ..)| other == name))
            };
            let next = first.iter().position(|one| !waits(one)).unwrap_or_default();
            commands.push(first.remove(next).2);
        }
        let join = |part: fn(&Said) -> &str, by: &str| commands.iter().map(part).collect::<Vec<_>>().join(by);
        if !commands.is_empty() {
            let said = Said::new(join(|said| &said.value, " && "), join(|said| &said.origin, " and "));
            if is_line(&said.value) {
                self.found.migrate = Some(said);
            } else {
                self.fault(format!("{}: the commands do not fit into a line", said.origin), BEFORE);
            }
        }
    }

    /// What runs once for each start of the others.
    fn once(&mut self, name: &str, service: &Node) -> Option<Said> {
        let said = self.line(name, service, BEFORE)?;
        if self.is_waited_for(name) && !is_migration(&said.value) {
            self.notes.push(format!("{} runs before each release, as before each start in Compose", said.origin));
        } else if !is_migration(&said.value) {
            self.fault(format!("{}: {name} runs once and ends, so it is no worker", said.origin), BEFORE);
            return None;
        }
        let value = if self.is_image { said.value } else { tool(&said.value) };
        Some(Said { value, ..said })
    }

    fn worker(&mut self, name: &str, service: &Node) {
        let short = fit(name);
        let wished = |wish: &String| wish.split('=').next() == Some(&short);
        if self.wishes.workers.iter().any(wished) {
            return;
        }
        if let Some(node) = service.get("ports").or_else(|| service.get("expose")) {
            let place = at(self.file, node);
            self.notes.push(format!("{place}: {name} runs as a worker, whose ports are not reached"));
        }
        let remedy = format!("set its command: --worker {short}=COMMAND, or --worker {short}= to leave it out");
        if let Some(said) = self.line(name, service, &remedy) {
            self.found.workers.push((name.to_owned(), said));
        }
    }

    /// The command that serves, unless that is the image's.
    pub(super) fn start(&mut self, main: &Node) -> Option<Said> {
        main.get("entrypoint").or_else(|| main.get("command"))?;
        self.line("it", main, SERVES)
    }

    /// The command of a service, as one line; a fault if it has none that can be one.
    fn line(&mut self, name: &str, service: &Node, remedy: &str) -> Option<Said> {
        let (entry, arguments) = (service.get("entrypoint"), service.get("command"));
        let place = at(self.file, arguments.or(entry).unwrap_or(service));
        let text = [entry, arguments].into_iter().flatten().filter_map(command).collect::<Vec<_>>().join(" ");
        if [entry, arguments].into_iter().flatten().any(Node::is_open) {
            self.open(&place, name, "its command");
        } else if text.is_empty() {
            self.fault(format!("{place}: {name} has no command, so it would run the image's"), remedy);
        } else if entry.is_none() && self.has_entry {
            let remedy = if remedy == SERVES { "set the whole command that serves: --run COMMAND" } else { remedy };
            self.fault(format!("{place} gives arguments to the image's ENTRYPOINT"), remedy);
        } else if has_words(&text, &FOR_DEVELOPERS) {
            self.fault(format!("{place} runs a development server: {text}"), remedy);
        } else if !is_line(&text) {
            self.fault(format!("{place}: the command of {name} is not one line"), remedy);
        } else {
            return Some(Said::new(text, place));
        }
        None
    }
}
