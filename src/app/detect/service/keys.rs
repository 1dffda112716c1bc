//! What the keys of a service mean for a release.

use super::super::compose::{Mount, at, mount};
use super::super::container::path_of;
use super::super::settings;
use super::super::source::Said;
use super::super::yaml::{Node, Value};
use super::Reader;

/// Keys of a service that change nothing for a release, or that others have read.
const PLAIN: &str = "annotations attach build cap_drop command container_name depends_on develop entrypoint env_file environment \
    expose healthcheck hostname image init labels links logging networks platform ports profiles pull_policy read_only restart stdin_open tty user";
/// Keys of `build` likewise.
const OF_BUILD: &str = "args cache_from cache_to context dockerfile labels no_cache platforms pull tags target";
const REMOVE: &str = "remove a line that the application runs without";

impl Reader<'_> {
    pub(super) fn keys(&mut self, name: &str, service: &Node) {
        for (key, node) in service.entries() {
            let place = at(self.file, node);
            let text = node.text().unwrap_or_default();
            match key.as_str() {
                _ if node.value == Value::Null => {}
                "volumes" if node.is_open() => self.open(&place, name, key),
                "deploy" if device(node).is_some() => {
                    self.fault(format!("{place}: {name} reserves devices, which a release cannot have"), REMOVE);
                }
                "volumes" => node.items().iter().for_each(|node| self.volume(name, node)),
                "ports" => node.items().iter().for_each(|node| self.published(name, node)),
                "mem_limit" | "mem_reservation" | "cpus" | "pids_limit" | "deploy" => {
                    self.of_image
                        .push(format!("{place} limits {name}: set memory in .factory/app.conf; one copy of it runs"));
                }
                "stop_grace_period" => {
                    self.of_image
                        .push(format!("{place} lets {name} take {text} to end: set drain in .factory/app.conf"));
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
    }

    /// The path that the health check of the service that serves asks for.
    pub(super) fn health(&mut self, service: &Node) {
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
            Mount::Nothing => {}
            Mount::Named(source, target) => {
                let about = self.tree.get("volumes").and_then(|all| all.get(&source));
                let special = ["driver_opts", "external"].into_iter().find(|key| {
                    about.and_then(|about| about.get(key)).is_some_and(|value| value.text() != Some("false"))
                });
                if let Some(key) = special {
                    self.fault(
                        format!("{place}: the volume {source} has {key}, and a release keeps data on the host's disk"),
                        "use a plain volume, and copy the data after the first release",
                    );
                } else if self.volumes.iter().any(|(_, said)| said.value != target) {
                    self.fault(
                        format!("{place}: a release has one folder for data, and {target} is another one"),
                        "keep all data below one directory, in one volume",
                    );
                } else if self.volumes.iter().any(|(other, _)| *other != source) {
                    self.fault(
                        format!("{place}: {name} has another volume at {target}, and all processes have one"),
                        "use one volume for all services of the image",
                    );
                } else {
                    self.volumes.push((source, Said::new(target, place)));
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
        let written = node.get("target").unwrap_or(node).written().unwrap_or_default();
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
    pub(super) fn port(&mut self, file: &str) {
        let Some((port, place)) = self.ports.first() else { return };
        if !self.settings.take_port(port) && !file.contains("PORT") && !file.contains("EXPOSE") {
            self.of_image.push(format!("{place} publishes {port}; a release has to listen on $PORT"));
        }
    }

    pub(super) fn build_keys(&mut self, service: &Node) {
        let Some(build) = service.get("build") else { return };
        let parts = ["context", "dockerfile", "target"].into_iter().filter_map(|key| build.get(key));
        if let Some(node) = parts.chain([build].into_iter().filter(|it| it.written().is_some())).find(|it| it.is_open())
        {
            self.open(&at(self.file, node), "the build", "it");
        }
        for (key, node) in build.entries() {
            if OF_BUILD.split(' ').all(|plain| plain != key) && !key.starts_with("x-") {
                self.fault(
                    format!("{}: build has {key}, which the factory's builds do not have", at(self.file, node)),
                    REMOVE,
                );
            }
        }
        for (name, value, node) in settings::pairs(build.get("args")) {
            if value.is_none() {
                let why = format!("{}: the build takes {name} from the environment of the user", at(self.file, node));
                self.fault(why, "give the argument a default, such as ${NAME:-value}");
            }
        }
    }

    /// A value that Compose takes from the shell of the user.
    pub(super) fn open(&mut self, place: &str, name: &str, key: &str) {
        self.fault(
            format!("{place}: {name} takes {key} from a variable that has no value in the repo"),
            "give the variable a default, such as ${NAME:-value}",
        );
    }
}

/// Hardware that a service reserves.
fn device(deploy: &Node) -> Option<&Node> {
    deploy.get("resources")?.get("reservations")?.get("devices")
}
