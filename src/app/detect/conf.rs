//! What was found, as lines of `.factory/app.conf`: each value below the file that it came from.

use std::fmt::Write as _;

use super::source::one_line;
use super::{Facts, Said, Worker};

impl Facts {
    /// The lines that say how the application is built and run.
    pub(crate) fn lines(&self) -> String {
        let mut out = String::new();
        for note in &self.notes {
            let _ = writeln!(out, "# note: {}", one_line(note));
        }
        value(&mut out, "folder", "the folder of the application, where its commands run", self.folder.as_ref());
        Self::commands(&mut out, "build", "The build, step by step, in a copy of the commit", &self.build);
        if self.is_static {
            out.push_str("# A release is the site, which the host's edge serves. No program runs.\nfiles=.factory/public\nsite=.factory/public\n");
            value(&mut out, "public", "the folder of the site after the build", self.output.as_ref());
        } else {
            if self.is_container {
                out.push_str("# A release is the root file system of the image. Its command serves, or the line `start`, on $ADDRESS and $PORT.\n");
                out.push_str("files=.factory/rootfs .factory/image.conf\nroot=.factory/rootfs\n");
                value(
                    &mut out,
                    "volume",
                    "where the image keeps data: $APP_DATA, by another path",
                    self.volume.as_ref(),
                );
            } else {
                out.push_str("# A release is the whole copy. .factory/run starts it with the line `start`.\nfiles=.\nrun=.factory/run\n");
            }
            value(&mut out, "start", "what serves on $ADDRESS and $PORT", self.start.as_ref());
            value(&mut out, "program", "the program that the build makes", self.program.as_ref());
            value(&mut out, "port_variable", "the variable that it takes its port from", self.port_variable.as_ref());
            value(&mut out, "migrate", "what runs once for each release, before it starts", self.migrate.as_ref());
            value(
                &mut out,
                "service.postgres",
                "a database on the host, which DATABASE_URL names",
                self.postgres.as_ref(),
            );
            value(&mut out, "service.redis", "a Redis on the host, which REDIS_URL names", self.redis.as_ref());
            self.beside(&mut out);
        }
        out.push('\n');
        names(
            &mut out,
            "env",
            "Settings that have to be in its environment. Their values never are in the repo.",
            &self.env,
        );
        names(
            &mut out,
            "data",
            "What it writes to. It has to survive a release, so keep it outside of one.",
            &self.data,
        );
        Self::commands(&mut out, "test", "The tests, step by step, in a copy of the work tree", &self.test);
        let health = self.health.as_ref();
        let path = health.map_or("/", |said| said.value.as_str());
        let origin = health.map_or("a guess: nothing names a path, and it was not tried", |said| said.origin.as_str());
        let about = if self.is_static {
            "A release without this page is bad."
        } else {
            "Answers 200 when the application can serve, within so many seconds after a start."
        };
        let _ = writeln!(out, "# {about}\n# from {origin}\nhealth={path}");
        out
    }

    fn beside(&self, out: &mut String) {
        if !self.workers.is_empty() {
            out.push_str("\n# Processes without a port, which run besides it.\n");
        }
        for Worker { name, said, off } in &self.workers {
            let _ = writeln!(out, "# from {}", said.origin);
            match off {
                None => _ = writeln!(out, "worker.{name}={}", said.value),
                Some(why) => _ = writeln!(out, "# off, since {}:\n# worker.{name}={}", one_line(why), said.value),
            }
        }
    }

    fn commands(out: &mut String, key: &str, about: &str, steps: &[Said]) {
        if steps.is_empty() {
            return;
        }
        let _ = writeln!(out, "# {about}.");
        for (index, step) in steps.iter().enumerate() {
            let _ = writeln!(out, "# from {}\n{key}.{}={}", step.origin, index + 1, step.value);
        }
        out.push('\n');
    }
}

fn value(out: &mut String, key: &str, about: &str, said: Option<&Said>) {
    if let Some(said) = said {
        let _ = writeln!(out, "# {about}, from {}\n{key}={}", said.origin, said.value);
    }
}

fn names(out: &mut String, key: &str, about: &str, all: &[Said]) {
    if all.is_empty() {
        return;
    }
    let _ = writeln!(out, "# {about}");
    for said in all {
        let _ = writeln!(out, "# {} from {}", said.value, said.origin);
    }
    let names: Vec<&str> = all.iter().map(|said| said.value.as_str()).collect();
    let _ = writeln!(out, "{key}={}\n", names.join(" "));
}
