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
    pub(super) notes: Vec<String>,
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
    let others: Vec<&str> =
        folders.iter().copied().filter(|it| !found.contains(it) && could_be_one(source, it)).collect();
    let is_sure = others.is_empty() && folders.len() <= MOST;
    match found[..] {
        ["."] if is_sure => Ok(None),
        [one] if is_sure => {
            let mut chosen = named(source, one, Said::new(one, origin))?;
            chosen
                .notes
                .push(format!("{one} is the only application that was found here; --folder chooses another folder"));
            Ok(Some(chosen))
        }
        [] if folders.is_empty() => Ok(None),
        _ => {
            let mut what = match found.len() {
                0 => "none of its folders says by itself how it serves".to_owned(),
                1 => format!("{} is an application", found[0]),
                many => format!("{many} of its folders are applications"),
            };
            if found.len() < 2 && !others.is_empty() {
                what +=
                    &format!(", and {} could be one", others.iter().take(6).copied().collect::<Vec<_>>().join(", "));
            }
            if folders.len() > MOST {
                what += &format!(", and only {MOST} of its {} folders were read", folders.len());
            }
            let all: Vec<&str> = found.into_iter().chain(others).collect();
            let all = if all.is_empty() { folders.into_iter().collect() } else { all };
            let flags: Vec<String> =
                all.iter().take(6).map(|folder| format!("--folder {}", crate::shell::word(folder))).collect();
            let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
            Err(Refusal::new(
                format!("{origin}: the repo has several packages, and {what}"),
                format!("choose the one: {}", one_of(&flags)),
            ))
        }
    }
}

/// Whether a folder that does not say how it serves may be an application all the same.
fn could_be_one(source: &Source, folder: &str) -> bool {
    let has = |name: &str| source.has(&format!("{folder}/{name}"));
    let package = source.text(&format!("{folder}/package.json"));
    let package = package.and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    let scripts = package.as_ref().and_then(|package| package.get("scripts"));
    scripts.is_some_and(|scripts| ["start", "dev"].iter().any(|name| scripts.get(name).is_some()))
        || CONTAINER.into_iter().chain(UNKNOWN.iter().map(|(name, _)| *name)).chain(["Procfile"]).any(has)
}

fn named(source: &Source, folder: &str, said: Said) -> Result<Chosen, Refusal> {
    // A colon would end the folder in PATH.
    let is_odd = |part: &str| part.is_empty() || part == "." || part.contains(':');
    if !is_plain(folder) || folder.starts_with('/') || folder.split('/').any(is_odd) {
        return Err(Refusal::new("--folder is not a directory in the repo", "for example: --folder apps/web"));
    }
    if !source.has_folder(folder) {
        return Err(Refusal::new(
            format!("there is no {folder} in the repo"),
            "choose a directory that is committed: --folder DIR",
        ));
    }
    let note = match (super::compose::place_of(source, folder), source.first(&COMPOSE)) {
        (Some(place), _) => {
            Some(format!("{place} runs this folder too, and what it says of ports, volumes and settings is not read"))
        }
        (None, Some(file)) => Some(format!("{file} at the top is not read, as the application is in {folder}")),
        (None, None) => None,
    };
    Ok(Chosen { folder: said, notes: note.into_iter().collect() })
}

/// Refuses a folder that has what a build needs for the link to what the factory added.
pub(super) fn check(source: &Source, folder: &str) -> Result<(), Refusal> {
    let inner = format!("{folder}/.factory");
    if source.has(&inner) || source.has_folder(&inner) {
        return Err(Refusal::new(format!("{inner} exists"), "rename it, and commit"));
    }
    Ok(())
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

/// Folders below the top that have a manifest, of whatever language, or a container file.
fn folders(source: &Source) -> BTreeSet<&str> {
    let languages = || MANIFESTS.iter().map(|(name, _)| *name).chain(UNKNOWN.iter().map(|(name, _)| *name));
    let names = || languages().chain(CONTAINER).chain(["hugo.toml", "Procfile"]);
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
        // Another one that does not say how it serves may be meant.
        for other in [
            ("web/package.json", "{\"scripts\": {\"dev\": \"vite\"}}"),
            ("web/Gemfile", ""),
            ("web/Procfile", ""),
            ("web/pom.xml", ""),
        ] {
            let refusal = read(&[library, api[0], api[1], other], None).unwrap_err();
            assert!(refusal.why.ends_with("services/api is an application, and web could be one"), "{}", refusal.why);
            assert_eq!(refusal.hints, ["choose the one: --folder services/api or --folder web"]);
        }
        let many: Vec<String> = (0..MOST).map(|n| format!("lib/p{n}/package.json")).collect();
        let mut files = vec![api[0], api[1]];
        files.extend(many.iter().map(|path| (path.as_str(), "{}")));
        let refusal = read(&files, None).unwrap_err();
        assert!(refusal.why.contains("only 64 of its 65 folders were read"), "{}", refusal.why);

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
        // What the Compose file at the top says is not passed over in silence.
        let compose = ("compose.yaml", "services: { api: { build: { context: ., dockerfile: web/Dockerfile } } }\n");
        let facts = read(&[top[0], top[1], web, compose], Some("web")).unwrap();
        assert!(facts.notes.concat().contains("compose.yaml at the top is not read"), "{:?}", facts.notes);
        // A folder that no release could have.
        assert!(read(&[("a:b/package.json", START)], Some("a:b")).is_err());
        let compose = ("compose.yaml", "services: { web: { build: app } }\n");
        let refusal = read(&[compose, ("app/Dockerfile", "FROM x\n"), ("app/.factory/image", "")], None).unwrap_err();
        assert!(refusal.why.contains("app/.factory exists"), "{}", refusal.why);
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
