//! Images, action slots and chunk size of one benchmark.

use serde::{Deserialize, Serialize};

use super::target::Target;

/// Pixels per visual code along each axis.
pub const PATCH: u32 = 8;

/// What the policy is shown and what it generates on one benchmark; part of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Images, in the order of the prompt.
    #[serde(rename = "views")]
    pub images: Vec<ImageLayout>,
    /// Characters that the size text of a generated image may use, for example `*012345`.
    pub size_characters: String,
    /// Action slots, including the begin-of-actions mark.
    pub action_slots: usize,
    /// Control steps per chunk.
    pub horizon: u16,
    /// Numbers per control step.
    pub action_width: usize,
}

/// One image of the prompt, and of the generated block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageLayout {
    /// The protocol's name of the camera.
    pub camera: String,
    /// Height of the camera's image in pixels.
    pub height: u32,
    /// Width of the camera's image in pixels.
    pub width: u32,
    /// Height and width after bicubic resizing, aspect ratio not kept; multiples of 8.
    pub resized: [u32; 2],
}

impl ImageLayout {
    /// Rows and columns of visual codes.
    pub fn grid(&self) -> [u32; 2] {
        self.resized.map(|side| side / PATCH)
    }

    /// Size text, for example `1*25*25`: frames, rows, columns.
    pub fn size_text(&self) -> String {
        let [rows, columns] = self.grid();
        format!("1*{rows}*{columns}")
    }

    /// Positions in a sequence: codes, size text (one id per character) and four marks.
    pub fn positions(&self) -> usize {
        let [rows, columns] = self.grid();
        rows as usize * columns as usize + self.size_text().len() + 4
    }

    fn has_valid_size(&self) -> bool {
        let valid = PATCH..=1 << 14;
        self.resized.iter().all(|side| valid.contains(side) && side.is_multiple_of(PATCH))
    }
}

impl Layout {
    /// Why the layout is unusable; `None` for a valid one.
    pub fn fault(&self) -> Option<String> {
        if self.images.is_empty() {
            return Some("a layout needs at least one image".into());
        }
        if let Some(image) = self.images.iter().find(|image| !image.has_valid_size()) {
            let ImageLayout { camera, resized, .. } = image;
            return Some(format!("image `{camera}`: {resized:?} are not multiples of 8"));
        }
        let has_stray = |text: &String| text.chars().any(|c| !self.size_characters.contains(c));
        if let Some(text) = self.images.iter().map(ImageLayout::size_text).find(has_stray) {
            return Some(format!("size text `{text}` is not made of `{}`", self.size_characters));
        }
        let counts =
            [self.action_slots.saturating_sub(1), usize::from(self.horizon), self.action_width];
        (!counts.iter().all(|count| (1..=1 << 16).contains(count))).then(|| {
            "action slots, horizon and action width do not hold an action, or far too many".into()
        })
    }

    /// Positions of each image.
    pub fn image_positions(&self) -> Vec<usize> {
        self.images.iter().map(ImageLayout::positions).collect()
    }

    /// Positions of each image that is generated.
    pub fn generated_positions(&self, target: Target) -> Vec<usize> {
        if target.has_images() { self.image_positions() } else { vec![] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusable_layouts_say_why() {
        let layout = |resized, characters: &str| Layout {
            images: vec![ImageLayout { camera: "static".into(), height: 200, width: 200, resized }],
            size_characters: characters.into(),
            action_slots: 70,
            horizon: 10,
            action_width: 7,
        };
        assert_eq!(layout([200, 200], "*125").fault(), None);
        let fault = layout([200, 204], "*125").fault().unwrap();
        assert!(fault.contains("204"), "{fault}");
        let fault = layout([200, 80], "*125").fault().unwrap();
        assert!(fault.contains("1*25*10"), "{fault}");
        let empty = Layout { images: vec![], ..layout([8, 8], "*1") };
        assert!(empty.fault().is_some());
    }
}
