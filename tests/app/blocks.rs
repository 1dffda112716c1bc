//! The commands of a runbook, as its text holds them.

/// A block of commands.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) runbook: String,
    pub(crate) section: String,
    pub(crate) place: String,
    pub(crate) commands: String,
    /// The commands as they are rendered, while a test changes others in them.
    pub(crate) deed: String,
}

impl Block {
    /// The same with the commands changed, where a name stands for something or time would be long.
    pub(crate) fn with(&self, change: impl FnOnce(&str) -> String) -> Self {
        Self { commands: change(&self.commands), ..self.clone() }
    }
}

/// The blocks of a runbook that say where they run, in order.
pub(crate) fn blocks(runbook: &str, markdown: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut section = String::new();
    let mut open: Option<(usize, Block)> = None;
    for line in markdown.lines() {
        let bare = line.trim_start();
        if let Some((indent, block)) = &mut open {
            if bare == "```" {
                found.extend(open.take().map(|(_, block)| Block { deed: block.commands.clone(), ..block }));
            } else {
                block.commands += line.get(*indent..).unwrap_or_default();
                block.commands.push('\n');
            }
        } else if let Some(heading) = line.strip_prefix("## ") {
            heading.clone_into(&mut section);
        } else if let Some(place) = bare.strip_prefix("```sh ") {
            let (runbook, section, place) = (runbook.to_owned(), section.clone(), place.to_owned());
            open = Some((
                line.len() - bare.len(),
                Block { runbook, section, place, commands: String::new(), deed: String::new() },
            ));
        }
    }
    found
}
