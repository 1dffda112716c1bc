//! The terminal as an [`Asker`].

use super::keys::columns;
use super::list::{self, List};
use super::terminal::{Terminal, fit};
use super::{Asker, Question, Reply};
use crate::dialog::plain;
use crate::error::Result;
use crate::factory::Fault;
use crate::ui::wrap;

impl Asker for Terminal {
    fn text(&self, question: &Question<'_>, check: &dyn Fn(&str) -> Result<(), Fault>) -> Result<Reply<String>> {
        self.ask(question, question.preset)?;
        let mut begun = String::new();
        loop {
            let text = match self.line(question, &begun)? {
                Reply::Back => return Ok(Reply::Back),
                Reply::Given(text) if text == "?" => {
                    self.explain(question)?;
                    continue;
                }
                // After an answer that was refused, which stands there to be mended, a lone `?` or `<` means the same.
                Reply::Given(text) if !begun.is_empty() && text.strip_prefix(&begun) == Some("?") => {
                    self.explain(question)?;
                    continue;
                }
                Reply::Given(text) if !begun.is_empty() && text.strip_prefix(&begun) == Some("<") => {
                    return Ok(Reply::Back);
                }
                Reply::Given(text) if text.is_empty() => question.preset.to_owned(),
                Reply::Given(text) => text,
            };
            match check(&text) {
                Ok(()) => return Ok(Reply::Given(text)),
                Err(fault) => {
                    self.drop_ahead()?;
                    self.warn(&format!("{} {fault}", question.prompt));
                    begun = if fault.secret { String::new() } else { text };
                }
            }
        }
    }

    fn choose(&self, question: &Question<'_>, options: &[String], preset: usize) -> Result<Reply<usize>> {
        let mut list = List::one(options, preset);
        let reply =
            if self.rich { list::rich(self, question, &mut list) } else { list::plain(self, question, &mut list) }?;
        Ok(match reply {
            Reply::Back => Reply::Back,
            Reply::Given(()) => Reply::Given(list.at()),
        })
    }

    fn pick(&self, question: &Question<'_>, options: &[String], preset: &[usize]) -> Result<Reply<Vec<usize>>> {
        let mut list = List::several(options, preset);
        let reply =
            if self.rich { list::rich(self, question, &mut list) } else { list::plain(self, question, &mut list) }?;
        Ok(match reply {
            Reply::Back => Reply::Back,
            Reply::Given(()) => Reply::Given(list.picked()),
        })
    }

    fn say(&self, text: &str) {
        // Nothing can be done when that fails; the next question will tell.
        let _ = self.write(&format!("{}\n", fit(&plain(text))));
    }

    fn warn(&self, text: &str) {
        let text = wrap::fill(&plain(text), columns().into(), "! ", "  ");
        let _ = self.write(&format!("{}\n", self.paint.care(&text)));
    }
}
