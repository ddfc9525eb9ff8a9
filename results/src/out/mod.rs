//! Output: text, plots, HTML pages and files for other tools.

mod csv;
pub mod exports;
pub mod html;
pub mod plots;
pub mod printable;
pub mod render;
pub mod report;
