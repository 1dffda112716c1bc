//! A card, as people read it: a line for each part, then what is left to do.

use super::{Ui, wrap};
use crate::dialog::plain;
use crate::error::Result;
use crate::workspace::{Card, State};

/// Columns of the name of a part, with the blank that follows.
const NAME: usize = 11;

impl Ui {
    /// Shows a card as a result, on standard output.
    ///
    /// # Errors
    /// `CannotWrite` if it cannot be written.
    pub fn card(&self, card: &Card) -> Result<()> {
        if self.settings.json {
            return self.json(serde_json::json!({ "event": "card", "card": card }));
        }
        let (paint, width) = (self.out, self.out_width());
        let mut text = String::from("\n");
        let margin = " ".repeat(NAME + 2);
        for line in &card.lines {
            let mark = match line.state {
                State::Ok => " ",
                State::Attention => "!",
                State::Unknown => "?",
            };
            let first = format!("{mark} {:<NAME$}", line.part);
            // Paths and names from elsewhere: no line ends, and nothing that acts on a terminal.
            let shown = wrap::fill(&plain(&line.text).replace(['\n', '\t'], " "), width, &first, &margin);
            text.push_str(&match line.state {
                State::Ok => shown,
                State::Attention => paint.care(&shown),
                State::Unknown => paint.bad(&shown),
            });
            text.push('\n');
            if let Some(link) = &line.link {
                text.push_str(&format!("{margin}{}\n", paint.dim(&plain(link))));
            }
        }
        if !card.next.is_empty() {
            text.push_str(&format!("\n{}\n", paint.bold("Next, for you:")));
        }
        for (index, step) in card.next.iter().enumerate() {
            let number = format!("{:>3}. ", index + 1);
            text.push_str(&format!(
                "{}\n     {}\n",
                wrap::fill(&plain(&step.what), width, &number, "     "),
                plain(&step.how)
            ));
        }
        self.result(&text)
    }
}
