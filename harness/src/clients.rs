//! The protocols of clients that are served: how each calls a benchmark's images, and what it
//! expects of the actions.

use clap::ValueEnum;

/// A protocol that can be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// openpi's policy server
    Openpi,
    /// vla-eval's model server
    VlaEval,
}

impl Protocol {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Openpi => "openpi",
            Self::VlaEval => "vla-eval",
        }
    }
}

/// The names and units of one benchmark.
#[derive(Debug)]
pub struct Names {
    /// The benchmark, as a checkpoint calls it.
    pub benchmark: &'static str,
    /// Keys of the images in openpi's observations, in the order of the policy's cameras.
    pub openpi: &'static [&'static str],
    /// Keys of `images` in vla-eval's observations, in that order.
    pub vla_eval: &'static [&'static str],
    /// Arguments of vla-eval's benchmark that its observations and actions depend on.
    pub parameters: &'static [(&'static str, bool)],
    /// Formats of rotation and gripper, in vla-eval's words.
    pub formats: [&'static str; 2],
    /// Position and rotation of an action of vla-eval's client, in units of the policy's.
    pub scales: [f32; 2],
    /// What differs from the benchmark's own protocol when vla-eval plays it.
    pub remark: Option<&'static str>,
}

/// Every benchmark that can be served.
pub const ALL: &[Names] = &[
    Names {
        benchmark: "libero",
        openpi: &["observation/image", "observation/wrist_image"],
        vla_eval: &["agentview", "wrist"],
        parameters: &[("send_wrist_image", true), ("absolute_action", false)],
        formats: ["axis_angle", "binary_close_positive"],
        scales: [1.0, 1.0],
        remark: None,
    },
    Names {
        benchmark: "calvin",
        openpi: &["observation/image", "observation/wrist_image"],
        vla_eval: &["rgb_static", "rgb_gripper"],
        parameters: &[("send_wrist_image", true), ("absolute_action", false)],
        formats: ["euler_xyz", "binary_close_negative"],
        // CALVIN's own scaling: `position_step` and `rotation_step` of the protocol.
        scales: [0.02, 0.05],
        remark: Some(
            "vla-eval resizes both images to 200 x 200, the gripper camera's 84 x 84 too: its \
             images are resized back, and are not those of the paper's protocol",
        ),
    },
    Names {
        benchmark: "simpler",
        openpi: &["observation/image"],
        vla_eval: &["primary"],
        parameters: &[],
        // vla-eval announces `euler_xyz` and passes rotations on to a controller that reads them
        // as axis times angle; the policy's gripper opens at 1.
        formats: ["axis_angle", "binary_close_negative"],
        scales: [1.0, 1.0],
        remark: None,
    },
];

/// The names of a benchmark.
pub fn find(benchmark: &str) -> Option<&'static Names> {
    ALL.iter().find(|names| names.benchmark == benchmark)
}

impl Names {
    /// An action of the policy in the units of vla-eval's client.
    pub fn to_vla_eval(&self, action: &[f32]) -> Vec<f32> {
        let [position, rotation] = self.scales;
        let scale = |(index, value): (usize, &f32)| match index {
            0..3 => value * position,
            3..6 => value * rotation,
            _ => *value,
        };
        action.iter().enumerate().map(scale).collect()
    }
}

#[cfg(test)]
mod tests {
    use udvla_policies::remote::{Layout, ServerProtocol};
    use udvla_sims::protocol::Protocol;

    use super::*;

    /// What is served to clients is what servers are asked with, the other way round.
    #[test]
    fn names_and_units_are_those_of_the_layouts_for_servers() {
        for names in ALL {
            let layout = |protocol| Layout::bundled(names.benchmark, protocol).unwrap();
            let (openpi, vla_eval) =
                (layout(ServerProtocol::Openpi), layout(ServerProtocol::VlaEval));
            let keys = |layout: &Layout, prefix: &str| -> Vec<String> {
                let images = layout.images.iter();
                images.map(|image| image.key.strip_prefix(prefix).unwrap().to_owned()).collect()
            };
            assert_eq!(keys(&openpi, ""), names.openpi, "{}", names.benchmark);
            assert_eq!(keys(&vla_eval, "images/"), names.vla_eval, "{}", names.benchmark);
            for (index, scale) in [0, 3].into_iter().zip(names.scales) {
                let back = vla_eval.scale.get(index).copied().unwrap_or(1.0);
                assert!((f64::from(scale) * back - 1.0).abs() < 1e-6, "{}", names.benchmark);
            }
            for (part, format) in ["rotation", "gripper"].into_iter().zip(names.formats) {
                let known = &vla_eval.formats[part];
                assert!(known.iter().any(|known| known == format), "{}: {part}", names.benchmark);
            }
        }
    }

    #[test]
    fn calvins_scales_are_those_of_its_protocol() {
        let environment = Protocol::calvin().environment;
        let control = environment.iter().find(|(name, _)| *name == "control").unwrap().1;
        let steps = ["position_step", "rotation_step"].map(|name| control[name].as_f64().unwrap());
        let calvin = find("calvin").unwrap();
        assert_eq!(calvin.scales.map(f64::from).map(|scale| (scale * 1e6).round() / 1e6), steps);
        let action = [1.0, -0.5, 0.0, 1.0, 2.0, -1.0, 1.0];
        let expected = [0.02, -0.01, 0.0, 0.05, 0.1, -0.05, 1.0];
        assert_eq!(calvin.to_vla_eval(&action), expected);
    }
}
