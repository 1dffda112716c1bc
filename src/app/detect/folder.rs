//! Repos of several packages: which folder is the application.

use std::collections::BTreeSet;

use super::refuse::{COMPOSE, CONTAINER, MANIFESTS, UNKNOWN};
use super::source::{Said, Source, is_foreign, is_plain, lines};
use super::{Refusal, Wishes, hugo, one_of, read};
use crate::app::AppKind;

/// Files of tools that keep several packages in one repo.
const WORKSPACES: [&str; 5] = ["pnpm-workspace.yaml", "lerna.json", "nx.json", "turbo.json", "go.work"];
/// How deep a folder may be, and how many are looked at.
const DEPTH: usize = 3;
const MOST: usize = 64;

/// A folder, and what the owner should know of the choice.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) folder: Said,
    pub(super) note: Option<String>,
}

/// The folder of the application; none for the top.
pub(super) fn chosen(source: &Source, wishes: &Wishes, kind: Option<AppKind>) -> Result<Option<Chosen>, Refusal> {
    if let Some(folder) = &wishes.folder {
        let folder = folder.trim_start_matches("./").trim_end_matches('/');
        return if folder == "." { Ok(None) } else { named(source, folder, Said::new(folder, "--folder")).map(Some) };
    }
    let Some(origin) = several(source) else { return Ok(None) };
    let defaults = Wishes::default();
    let is_one = |source: &Source| read(source, &defaults, kind).is_ok();
    let folders = folders(source);
    let mut found: Vec<&str> = folders.iter().copied().take(MOST).filter(|it| is_one(&source.below(it))).collect();
    if is_one(source) {
        found.insert(0, ".");
    }
    match found[..] {
        ["."] => Ok(None),
        [one] => {
            let note = format!("{one} is the only application that was found here; --folder chooses another folder");
            let chosen = named(source, one, Said::new(one, origin))?;
            Ok(Some(Chosen { note: chosen.note.or(Some(note)), ..chosen }))
        }
        [] if folders.is_empty() => Ok(None),
        _ => {
            let all = if found.is_empty() { folders.into_iter().collect() } else { found.clone() };
            let flags: Vec<String> =
                all.iter().take(6).map(|folder| format!("--folder {}", crate::shell::word(folder))).collect();
            let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
            let what = match found.len() {
                0 => "none of its folders says by itself how it serves".to_owned(),
                many => format!("{many} of its folders are applications"),
            };
            Err(Refusal::new(
                format!("{origin}: the repo has several packages, and {what}"),
                format!("choose the one: {}", one_of(&flags)),
            ))
        }
    }
}

fn named(source: &Source, folder: &str, said: Said) -> Result<Chosen, Refusal> {
    if !is_plain(folder) || folder.starts_with('/') || folder.split('/').any(|part| part.is_empty() || part == ".") {
        return Err(Refusal::new("--folder is not a directory in the repo", "for example: --folder apps/web"));
    }
    if !source.has_folder(folder) {
        return Err(Refusal::new(
            format!("there is no {folder} in the repo"),
            "choose a directory that is committed: --folder DIR",
        ));
    }
    // A build needs this name for the link to what the factory added.
    if source.has(&format!("{folder}/.factory")) || source.has_folder(&format!("{folder}/.factory")) {
        return Err(Refusal::new(format!("{folder}/.factory exists"), "rename it, and commit"));
    }
    let note = super::compose::place_of(source, folder).map(|place| {
        format!("{place} runs this folder too, and what it says of ports, volumes and settings is not read")
    });
    Ok(Chosen { folder: said, note })
}

/// What tells that the applications of a repo are below its top.
fn several(source: &Source) -> Option<String> {
    let package = source.text("package.json").and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    // pnpm keeps settings there too, and then there are no packages.
    let lists =
        |file: &str| source.text(file).is_none_or(|text| lines(text).any(|(_, line)| line.starts_with("packages:")));
    let file = WORKSPACES.into_iter().find(|file| source.has(file) && (*file != "pnpm-workspace.yaml" || lists(file)));
    if let Some(file) = file {
        return Some(file.to_owned());
    }
    if package.is_some_and(|package| package.get("workspaces").is_some()) {
        return Some(source.place("package.json", "\"workspaces\""));
    }
    let languages = MANIFESTS.iter().map(|(name, _)| *name).chain(UNKNOWN.iter().map(|(name, _)| *name));
    let at_top = languages.chain(CONTAINER).chain(COMPOSE).any(|name| source.has(name));
    if at_top || hugo::config(source).is_some() || super::html::folder(source).is_some() {
        return None;
    }
    let first = folders(source).into_iter().next()?;
    Some(first.to_owned())
}

/// Folders below the top that have a manifest or a container file.
fn folders(source: &Source) -> BTreeSet<&str> {
    let names = || MANIFESTS.iter().map(|(name, _)| *name).chain(CONTAINER).chain(["hugo.toml"]);
    let all = source.paths().filter_map(|path| path.rsplit_once('/'));
    let all = all.filter(|(folder, name)| names().any(|known| known == *name) && !is_foreign(folder));
    all.map(|(folder, _)| folder).filter(|folder| folder.split('/').count() <= DEPTH).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Facts, Said, detect};
    use super::*;

    fn read(files: &[(&str, &str)], folder: Option<&str>) -> Result<Facts, Refusal> {
        let wishes = Wishes { folder: folder.map(str::to_owned), ..Wishes::default() };
        detect(&Source::of(files), &wishes, None)
    }

    fn steps(facts: &Facts) -> Vec<&str> {
        facts.build.iter().map(|said| said.value.as_str()).collect()
    }

    const GO: &str = "package main\nfunc main() {}\n";
    const START: &str =
        "{\"scripts\": {\"start\": \"node a.js\", \"build\": \"tsc\"}, \"devDependencies\": {\"tsc\": \"1\"}}";

    #[test]
    fn one_application_is_taken_and_several_are_asked_about() {
        let library = ("pkg/lib/go.mod", "module a/lib\n");
        let api = [("services/api/go.mod", "module a/api\n"), ("services/api/main.go", GO)];
        let facts = read(&[library, api[0], api[1]], None).unwrap();
        assert_eq!(facts.folder, Some(Said::new("services/api", "pkg/lib")));
        assert_eq!(steps(&facts), ["go build -trimpath -buildvcs=false -o .factory/bin/api ."]);
        assert!(facts.notes[0].starts_with("services/api is the only application"), "{:?}", facts.notes);

        let work = ("go.work", "go 1.24\n");
        let web = ("web/package.json", START);
        let refusal = read(&[work, library, api[0], api[1], web], None).unwrap_err();
        assert_eq!(refusal.hints, ["choose the one: --folder services/api or --folder web"]);
        assert!(refusal.why.starts_with("go.work: "), "{}", refusal.why);
        let facts = read(&[work, library, api[0], api[1], web], Some("services/api/")).unwrap();
        assert_eq!((facts.stack, facts.folder.unwrap().origin.as_str()), ("go", "--folder"));

        // The top can be one of them, and its own folder `.` is none.
        let top = [
            ("package.json", "{\"workspaces\": [\"lib\"], \"scripts\": {\"start\": \"node a.js\"}}"),
            ("lib/package.json", "{}"),
        ];
        assert_eq!(read(&top, None).unwrap().folder, None);
        let refusal = read(&[top[0], top[1], web], None).unwrap_err();
        assert_eq!(refusal.hints, ["choose the one: --folder . or --folder web"]);
        assert_eq!(read(&[top[0], top[1], web], Some(".")).unwrap().folder, None);
        // A folder that no release could have.
        let refusal = read(&[web, ("web/.factory/x", "")], Some("web")).unwrap_err();
        assert!(refusal.why.contains("web/.factory exists"), "{}", refusal.why);
    }

    #[test]
    fn tools_find_what_is_above_them() {
        let install = |locks: &[(&str, &str)]| {
            let mut files = vec![("apps/web/package.json", START), ("apps/b/package.json", "{}")];
            files.extend(locks);
            steps(&read(&files, Some("apps/web")).unwrap()).join("; ")
        };
        let npm = [("package.json", "{\"workspaces\": [\"apps/*\"]}"), ("package-lock.json", "{}")];
        assert!(install(&npm).starts_with("npm ci "));
        // One that is not of this workspace is of something else.
        assert!(install(&npm[1..]).starts_with("npm install "));
        let pnpm = [("pnpm-workspace.yaml", "packages:\n- apps/*\n"), ("pnpm-lock.yaml", "")];
        assert_eq!(
            install(&pnpm),
            "pnpm install --frozen-lockfile; npm run build; \
             pnpm install --prod --frozen-lockfile --ignore-scripts --config.confirmModulesPurge=false"
        );
        assert!(
            install(&[("package.json", "{\"workspaces\": [\"apps/*\"]}"), ("yarn.lock", "")])
                .starts_with("yarn install ")
        );

        let cargo = [
            ("Cargo.toml", "[workspace]\nmembers = [\"api\", \"cli\"]\n"),
            ("Cargo.lock", ""),
            ("api/Cargo.toml", "[package]\nname = \"api\"\n"),
            ("api/src/main.rs", "fn main() {}\n"),
            ("cli/Cargo.toml", "[package]\nname = \"cli\"\n"),
            ("cli/src/main.rs", "fn main() {}\n"),
        ];
        let facts = read(&cargo, Some("api")).unwrap();
        assert_eq!(steps(&facts)[0], "cargo build --release --locked --bin api --target-dir .factory/target");
    }

    #[test]
    fn packages_that_it_needs_are_built_first() {
        let files = [
            ("package.json", "{\"workspaces\": [\"*\"]}"),
            ("package-lock.json", ""),
            (
                "web/package.json",
                "{\"scripts\": {\"start\": \"node a.js\"}, \"dependencies\": {\"ui\": \"*\", \"x\": \"1\"}}",
            ),
            (
                "a/package.json",
                "{\"name\": \"base\", \"scripts\": {\"build\": \"tsc\"}, \"dependencies\": {\"ui\": \"*\"}}",
            ),
            (
                "b/package.json",
                "{\"name\": \"ui\", \"scripts\": {\"build\": \"tsc\"}, \"devDependencies\": {\"base\": \"*\"}}",
            ),
            ("c/package.json", "{\"name\": \"other\", \"scripts\": {\"build\": \"tsc\"}}"),
        ];
        let facts = read(&files, Some("web")).unwrap();
        assert_eq!(steps(&facts)[1..], ["cd ../a && npm run build", "cd ../b && npm run build"]);
    }

    #[test]
    fn a_container_file_says_by_what_it_copies_where_it_is_built() {
        let step = |copy: &str| {
            let file = format!("FROM x\n{copy}\nCMD [\"./a\"]\n");
            let files = [("apps/api/Dockerfile", file.as_str()), ("apps/api/main.c", ""), ("shared/x.h", "")];
            read(&files, Some("apps/api")).unwrap().build[0].value.clone()
        };
        assert_eq!(step("COPY . ."), ".factory/image Dockerfile");
        assert_eq!(step("COPY main.c /src/"), ".factory/image Dockerfile");
        assert_eq!(step("COPY --from=x /a /a"), ".factory/image Dockerfile");
        assert_eq!(step("COPY shared apps/api/main.c ./"), "cd ../.. && .factory/image apps/api/Dockerfile");
    }
}
