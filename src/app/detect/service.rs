//! A Compose file that runs the image of the repo: which of its services is the application, and what its lines mean for a release. A line
//! that matters, and means nothing there, is a fault: no line is left out in silence.

use super::compose::{Mount, at, build_of, command, mount};
use super::container::path_of;
use super::refuse::{COMPOSE, CONTAINER};
use super::settings::{self, Settings};
use super::source::{Said, Source, is_line, is_plain};
use super::yaml::{self, Node};
use super::{Facts, Refusal, Wishes, backing};
use crate::shell::word;

/// Keys of a service that change nothing for a release, or that others have read.
const PLAIN: &str = "annotations attach build cap_drop command container_name depends_on develop entrypoint env_file environment \
    expose healthcheck hostname image init labels links logging networks platform ports profiles pull_policy read_only restart stdin_open tty user";
/// Keys of `build` likewise.
const OF_BUILD: &str = "args cache_from cache_to context dockerfile labels no_cache platforms pull tags target";
/// Words of commands for a developer.
const FOR_DEVELOPERS: [&str; 8] =
    [" dev", "--reload", "nodemon", "--watch", "manage.py runserver", "--debug", "flask run", "debugpy"];
/// Files that Compose reads besides.
const OVERRIDES: [&str; 4] =
    ["compose.override.yaml", "compose.override.yml", "docker-compose.override.yml", "docker-compose.override.yaml"];
const REMOVE: &str = "remove a line that the application runs without";

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

#[derive(Debug, Default)]
struct Reader<'a> {
    file: &'a str,
    faults: Vec<Fault>,
    settings: Settings,
    ports: Vec<(String, String)>,
    volumes: Vec<Said>,
    health: Option<Said>,
    notes: Vec<String>,
}

/// Maps the Compose file at the top. With a container file at the top that decides, faults are only notes.
pub(super) fn read(source: &Source, wishes: &Wishes, facts: &mut Facts) -> Result<Option<Mapped>, Refusal> {
    let Some(file) = source.first(&COMPOSE).filter(|_| wishes.stack.is_none()) else { return Ok(None) };
    let is_alone = source.first(&CONTAINER).is_none();
    let Some(tree) = source.text(file).and_then(yaml::parse) else {
        let refusal = Refusal::new(format!("{file} is not YAML that can be read"), "fix it and commit");
        return if is_alone { Err(refusal) } else { Ok(None) };
    };
    let mut reader = Reader { file, ..Reader::default() };
    reader.notes.extend(source.first(&OVERRIDES).map(|file| format!("{file} is not read, as it is for development")));
    let notes = facts.notes.len();
    let mapped = reader.map(source, &tree, wishes, facts, is_alone);
    if let Some(mapped) = mapped.filter(|_| reader.faults.is_empty()) {
        facts.health = reader.health;
        facts.data.extend(reader.volumes);
        facts.notes.extend(reader.notes);
        if facts.build.is_empty() {
            facts.build.push(mapped.step.clone());
        }
        facts.env.extend(reader.settings.needed);
        facts.port_variable = reader.settings.port;
        return Ok(Some(mapped));
    }
    if is_alone {
        let why: Vec<String> = reader.faults.iter().map(|fault| fault.why.clone()).collect();
        let mut hints: Vec<String> = Vec::new();
        for fault in reader.faults {
            if !hints.contains(&fault.remedy) {
                hints.push(fault.remedy);
            }
        }
        return Err(Refusal { why: why.join("; "), hints });
    }
    let left_out = |fault: Fault| format!("{}; the container file decides, without the Compose file", fault.why);
    facts.notes.truncate(notes);
    facts.notes.extend(reader.faults.into_iter().map(left_out));
    Ok(None)
}

impl Reader<'_> {
    fn fault(&mut self, why: impl Into<String>, remedy: impl Into<String>) {
        self.faults.push(Fault { why: why.into(), remedy: remedy.into() });
    }

    fn map(
        &mut self,
        source: &Source,
        tree: &Node,
        wishes: &Wishes,
        facts: &mut Facts,
        is_alone: bool,
    ) -> Option<Mapped> {
        if let Some(node) = tree.get("include") {
            self.fault(
                format!("{} includes other files", at(self.file, node)),
                "write it as one Compose file, and commit",
            );
        }
        let all = tree.get("services").map_or(&[][..], Node::entries);
        let (off, all): (Vec<_>, Vec<_>) = all.iter().partition(|(_, service)| service.get("profiles").is_some());
        self.notes.extend(off.iter().map(|(name, service)| {
            format!("{} has the service {name} in a profile, which releases do not run", at(self.file, service))
        }));
        let images: Vec<&str> =
            all.iter().filter(|(_, it)| it.get("build").is_some()).filter_map(|(_, it)| image(it)).collect();
        let is_own = |it: &Node| it.get("build").is_some() || image(it).is_some_and(|name| images.contains(&name));
        let (own, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, service)| is_own(service));
        let (main, image) = self.main(&own, is_alone)?;
        let build = build_of(image);
        let file = build.file.clone().or_else(|| {
            let folder = build.context.as_ref().map(|folder| format!("{folder}/")).unwrap_or_default();
            CONTAINER.into_iter().find(|name| source.has(&format!("{folder}{name}"))).map(str::to_owned)
        });
        // Another image than the one that the container file at the top describes.
        if !is_alone && (build.context.is_some() || file.as_deref().is_none_or(|file| !CONTAINER.contains(&file))) {
            return None;
        }
        for (name, service) in &others {
            self.backing(name, service, facts);
        }
        let hosts: Vec<&str> = own.iter().chain(&others).map(|(name, _)| name.as_str()).collect();
        let before = self.faults.len();
        for (name, service) in &own {
            self.service(name, service);
            self.settings.read(self.file, source, service, &hosts, facts, &mut self.faults);
        }
        self.build_keys(image);
        let below = match &build.context {
            Some(folder) if !is_plain(folder) || !source.has_folder(folder) => {
                self.fault(
                    format!("{}: its context {folder} is no directory of the repo", at(self.file, main)),
                    "build from the repo",
                );
                None
            }
            Some(folder) => Some((source.below(folder), Said::new(folder, at(self.file, main)))),
            None => None,
        };
        let inner = below.as_ref().map_or(source, |(source, _)| source);
        let Some(file) = file.filter(|file| is_plain(file) && inner.has(file)) else {
            if self.faults.len() == before {
                self.fault(format!("{}: its container file is not in the repo", at(self.file, main)), "commit it");
            }
            return None;
        };
        let start = self.start(main, inner.text(&file).unwrap_or_default(), wishes);
        self.port(inner.text(&file).unwrap_or_default());
        let options = build.options.iter().chain(&self.settings.set).map(|option| format!(" {}", word(option)));
        let step = Said::new(format!(".factory/image {file}{}", options.collect::<String>()), at(self.file, main));
        if !is_line(&step.value) {
            self.fault(format!("{}: its options do not fit into a line", step.origin), "shorten its settings");
        }
        Some(Mapped { below, file, step, start })
    }

    /// The service that visitors reach, and one that says how its image is built.
    fn main<'a>(&mut self, own: &[&'a (String, Node)], is_alone: bool) -> Option<(&'a Node, &'a Node)> {
        let with = |key: &str| own.iter().filter(|(_, it)| it.get(key).is_some()).copied().collect::<Vec<_>>();
        let reached = [with("ports"), with("expose"), own.to_vec()].into_iter().find(|some| !some.is_empty());
        let [(_, main)] = reached.as_deref().unwrap_or_default() else {
            if own.is_empty() && is_alone {
                self.fault(
                    format!("{} builds no service from the repo", self.file),
                    "adopt the repo that an image is built from",
                );
            } else if !own.is_empty() {
                self.several(own);
            }
            return None;
        };
        // A worker has the image by its name, or is built like it.
        let mut builds = own.iter().filter(|(_, it)| it.get("build").is_some()).map(|(_, it)| it);
        let built = builds.next()?;
        if builds.any(|it| build_of(it) != build_of(built)) {
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
    fn backing(&mut self, name: &str, service: &Node, facts: &mut Facts) {
        let place = at(self.file, service.get("image").unwrap_or(service));
        let notes = facts.notes.len();
        let had = (facts.postgres.clone(), facts.redis.clone());
        (facts.postgres, facts.redis) = (None, None);
        backing::image(image(service).unwrap_or_default(), &place, facts);
        match (&facts.postgres, &facts.redis) {
            (Some(_), _) => self.settings.postgres.push(name.to_owned()),
            (_, Some(_)) => self.settings.redis.push(name.to_owned()),
            _ => {
                facts.notes.truncate(notes);
                let what = image(service).unwrap_or("no image");
                self.fault(
                    format!("{place}: {name} runs {what}, and the factory offers Postgres and Redis alone"),
                    "run it elsewhere, delete the service, and put its address into the application's settings",
                );
            }
        }
        (facts.postgres, facts.redis) = (had.0.or(facts.postgres.take()), had.1.or(facts.redis.take()));
        for node in service.get("volumes").map_or(&[][..], Node::items) {
            if let Mount::Bind(path, _) = mount(node) {
                self.fault(
                    format!("{}: {name} binds {path}, which the host's service does not have", at(self.file, node)),
                    "do in a migration what a file does when a database is made",
                );
            }
        }
        if let Some(node) = service.get("command") {
            self.notes
                .push(format!("{} gives {name} options, which the host's service does not have", at(self.file, node)));
        }
    }

    fn service(&mut self, name: &str, service: &Node) {
        for (key, node) in service.entries() {
            let place = at(self.file, node);
            let text = node.text().unwrap_or_default();
            match key.as_str() {
                "volumes" => node.items().iter().for_each(|node| self.volume(name, node)),
                "ports" => node.items().iter().for_each(|node| self.published(name, node)),
                "mem_limit" | "mem_reservation" | "cpus" | "pids_limit" | "deploy" => {
                    self.notes
                        .push(format!("{place} limits {name}: set memory in .factory/app.conf; one copy of it runs"));
                }
                "stop_grace_period" => {
                    self.notes.push(format!("{place} lets {name} take {text} to end: set drain in .factory/app.conf"));
                }
                "stop_signal" if text == "SIGTERM" => {}
                "network_mode" if text == "bridge" => {}
                "tmpfs"
                    if text == "/tmp"
                        || node.items().iter().all(|it| it.text() == Some("/tmp")) && !node.items().is_empty() => {}
                "security_opt"
                    if node.items().iter().all(|it| it.text().is_some_and(|text| text.starts_with("no-new-priv"))) => {}
                key if PLAIN.split(' ').any(|plain| plain == key) || key.starts_with("x-") || text == "false" => {}
                _ => {
                    let value = if text.is_empty() { String::new() } else { format!(": {text}") };
                    self.fault(format!("{place}: {name} has {key}{value}, which a release cannot have"), REMOVE);
                }
            }
        }
        let test = service.get("healthcheck").and_then(|check| check.get("test"));
        let words = test
            .map(|test| test.items().iter().filter_map(Node::text).chain(test.text()).collect::<Vec<_>>().join(" "));
        if let Some(path) = words.as_deref().and_then(|words| words.split([' ', '"', '\'']).find_map(path_of)) {
            self.health = test.map(|test| Said::new(path, at(self.file, test)));
        }
    }

    fn volume(&mut self, name: &str, node: &Node) {
        let place = at(self.file, node);
        match mount(node) {
            Mount::Named(target) => {
                if self.volumes.iter().any(|said| said.value != target) {
                    self.fault(
                        format!("{place}: a release has one folder for data, and {target} is another one"),
                        "keep all data below one directory, in one volume",
                    );
                } else {
                    self.volumes.push(Said::new(target, place));
                }
            }
            Mount::Bind(path, target) => self.fault(
                format!("{place}: {name} binds {path} to {target}, and a release sees the image alone"),
                "copy what it needs in the container file; keep what it writes in a named volume",
            ),
            Mount::Other => self.fault(format!("{place}: {name} has a mount that a release cannot have"), REMOVE),
        }
    }

    fn published(&mut self, name: &str, node: &Node) {
        let place = at(self.file, node);
        let written =
            node.get("target").unwrap_or(node).text().map(|text| settings::filled(text).0).unwrap_or_default();
        let inner = written.rsplit(':').next().unwrap_or_default().trim_end_matches("/tcp").to_owned();
        let is_udp = node.get("protocol").is_some_and(|it| it.text() == Some("udp"));
        if is_udp || inner.parse::<u16>().is_err() {
            self.fault(format!("{place}: {name} publishes {written}, and a release has one port of TCP"), REMOVE);
        } else if self.ports.iter().any(|(port, _)| *port != inner) {
            self.fault(
                format!("{place}: {name} publishes {inner} too, and a release has one port"),
                "keep the port that visitors reach",
            );
        } else {
            self.ports.push((inner, place));
        }
    }

    /// The variable that has the port; or a note that it has to come from one.
    fn port(&mut self, file: &str) {
        let Some((port, place)) = self.ports.first() else { return };
        if !self.settings.take_port(port) && !file.contains("PORT") && !file.contains("EXPOSE") {
            self.notes.push(format!("{place} publishes {port}; a release has to listen on $PORT"));
        }
    }

    fn build_keys(&mut self, service: &Node) {
        let Some(build) = service.get("build") else { return };
        for (key, node) in build.entries() {
            if OF_BUILD.split(' ').all(|plain| plain != key) && !key.starts_with("x-") {
                self.fault(
                    format!("{}: build has {key}, which the factory's builds do not have", at(self.file, node)),
                    REMOVE,
                );
            }
        }
        for (name, value, node) in settings::pairs(build.get("args")) {
            if value.as_deref().is_none_or(|value| settings::filled(value).1) {
                let why = format!("{}: the build takes {name} from the environment of the user", at(self.file, node));
                self.fault(why, "give the argument a default, such as ${NAME:-value}");
            }
        }
    }

    fn start(&mut self, main: &Node, file: &str, wishes: &Wishes) -> Option<Said> {
        let (entry, arguments) = (main.get("entrypoint"), main.get("command"));
        let node = entry.or(arguments).filter(|_| wishes.run.is_none())?;
        let place = at(self.file, node);
        let text = [entry, arguments].into_iter().flatten().filter_map(command).collect::<Vec<_>>().join(" ");
        let has_entry = file.lines().any(|line| line.trim_start().to_ascii_uppercase().starts_with("ENTRYPOINT"));
        if entry.is_none() && has_entry {
            self.fault(
                format!("{place} gives arguments to the image's ENTRYPOINT"),
                "set the whole command that serves: --run COMMAND",
            );
        } else if FOR_DEVELOPERS.iter().any(|words| text.contains(words)) {
            self.fault(
                format!("{place} runs a development server: {text}"),
                "set the command that serves: --run COMMAND",
            );
        } else if !is_line(&text) {
            self.fault(format!("{place}: the command is not one line"), "set the command that serves: --run COMMAND");
        }
        Some(Said::new(text, place))
    }
}

fn image(service: &Node) -> Option<&str> {
    service.get("image").and_then(Node::text).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests;
