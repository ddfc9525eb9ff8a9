//! HTML pages.
//!
//! Every text is escaped, plots are part of the page, and the page's content policy allows only files
//! next to it: videos, images of predicted futures, and the data of timelines.

mod compare;
mod episodes;
mod facts;
mod list;
mod outcome;
mod page;
mod question;
mod records;
mod run;
mod several;
mod timelines;

pub use compare::compare_page;
pub use list::{Listed, list_page};
pub use question::{QuestionPage, last_page, question_page};
pub use run::{run_page, self_contained_run_page, served_run_page};
pub use several::{Compared, several_page};
pub use timelines::Timelines;
