//! Devices and number formats by name, and loading of libtorch's CUDA library.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tch::{Cuda, Device, Kind};

use super::error::CheckpointError;

/// Device and number format of loaded tensors.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "the types say what the fields are")]
pub struct Placement {
    pub device: Device,
    pub kind: Kind,
}

/// Resolves a device name (`auto`, `cpu`, `cuda`, `cuda:N`) and a number format name
/// (`f32`, `bf16`, `f16`, `f64`; default: f32 on a CPU, bf16 on a GPU).
///
/// `auto` is the first usable GPU, or the CPU of a machine without NVIDIA device: a GPU that is
/// there and cannot be used is an error, for a processor takes hours instead of minutes.
///
/// # Errors
/// An unknown name, or a GPU that does not exist or that libtorch cannot use.
pub fn placement(device: &str, dtype: Option<&str>) -> Result<Placement, CheckpointError> {
    let device = self::device(device)?;
    let kind = match dtype {
        None if device == Device::Cpu => Kind::Float,
        None => Kind::BFloat16,
        Some(name) => kind(name)?,
    };
    Ok(Placement { device, kind })
}

impl Placement {
    /// Why another number format may be wanted there.
    pub fn remark(&self) -> Option<&'static str> {
        let is_slow = (self.device, self.kind) == (Device::Cpu, Kind::Half);
        is_slow.then_some(
            "f16 takes about three times as long as f32 on a processor; bf16 takes less than f32",
        )
    }
}

/// Name of a number format.
///
/// # Panics
/// If [`placement`] never returns it.
pub fn dtype_name(kind: Kind) -> &'static str {
    let entry = DTYPES.iter().find(|(_, known)| *known == kind);
    entry.expect("placements have only listed formats").0
}

/// Name of a device.
pub fn device_name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        Device::Cpu | Device::Mps | Device::Vulkan => "cpu".into(),
    }
}

/// Limits libtorch's threads: half of the cores stay with the simulators, the other half is
/// divided among `replicas` of the model.
///
/// libtorch's threads synchronize in every operation. With all cores busy each synchronization
/// costs a scheduler time slice; two threads were measured ten times slower than one.
///
/// The number of threads is a power of two: thread boundaries then coincide with the starts of
/// packed sequences, so that a sequence's last bit does not depend on its neighbors.
pub fn share_processor(replicas: usize) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = 1 << (cores / 2 / replicas.max(1)).max(1).ilog2();
    tch::set_num_threads(threads);
}

/// Sets the number of libtorch's intra-operation threads.
pub fn set_threads(threads: u16) {
    tch::set_num_threads(i32::from(threads.max(1)));
}

/// Number of libtorch's intra-operation threads.
pub fn threads() -> i32 {
    tch::get_num_threads()
}

/// Version of libtorch at build time.
pub fn libtorch_version() -> &'static str {
    option_env!("UDVLA_LIBTORCH_VERSION").unwrap_or("unknown")
}

const DTYPES: [(&str, Kind); 4] =
    [("f32", Kind::Float), ("bf16", Kind::BFloat16), ("f16", Kind::Half), ("f64", Kind::Double)];

fn kind(name: &str) -> Result<Kind, CheckpointError> {
    let entry = DTYPES.iter().find(|(known, _)| *known == name);
    entry.map(|(_, kind)| *kind).ok_or_else(|| CheckpointError::Choice {
        what: "number format",
        value: name.to_owned(),
        known: "f32, bf16, f16, f64".into(),
    })
}

fn device(name: &str) -> Result<Device, CheckpointError> {
    let index = match name {
        "cpu" => return Ok(Device::Cpu),
        "auto" => return automatic(gpu_count(), nvidia_device(Path::new("/"))),
        "cuda" => Some(0),
        _ => name.strip_prefix("cuda:").and_then(|index| index.parse::<usize>().ok()),
    };
    let index = index.ok_or_else(|| CheckpointError::Choice {
        what: "device",
        value: name.to_owned(),
        known: "auto, cpu, cuda, cuda:N".into(),
    })?;
    let unusable = |reason| CheckpointError::Device { name: name.to_owned(), reason };
    let count = gpu_count().map_err(unusable)?;
    if index >= count {
        return Err(unusable(format!("this machine has {count} of them, counted from 0")));
    }
    Ok(Device::Cuda(index))
}

/// The first GPU; without one the CPU, unless the machine has an NVIDIA device.
fn automatic(
    gpus: Result<usize, String>,
    present: Option<PathBuf>,
) -> Result<Device, CheckpointError> {
    match (gpus, present) {
        (Ok(_), _) => Ok(Device::Cuda(0)),
        (Err(_), None) => Ok(Device::Cpu),
        (Err(reason), Some(sign)) => Err(CheckpointError::Device {
            name: "auto".into(),
            reason: format!(
                "this machine has an NVIDIA device (`{}`), but {reason}",
                sign.display()
            ),
        }),
    }
}

/// What shows that a machine has an NVIDIA device, below the root folder `root`.
fn nvidia_device(root: &Path) -> Option<PathBuf> {
    let signs = ["dev/nvidia0", "proc/driver/nvidia"].map(|sign| root.join(sign));
    signs.into_iter().find(|sign| sign.exists())
}

/// Number of usable GPUs, at least 1, or why there is none.
fn gpu_count() -> Result<usize, String> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    LOADED
        .get_or_init(load_cuda)
        .clone()
        .map_err(|cause| format!("libtorch's CUDA part cannot be loaded ({cause})"))?;
    match usize::try_from(Cuda::device_count()) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(match std::env::var("CUDA_VISIBLE_DEVICES") {
            Ok(value) => format!("libtorch finds no GPU with `CUDA_VISIBLE_DEVICES={value}`"),
            Err(_) => "libtorch finds no GPU or no driver that fits it".into(),
        }),
    }
}

/// Loads libtorch's CUDA library, which registers itself. It is not linked, so that the same
/// program runs where it is not installed.
fn load_cuda() -> Result<(), String> {
    // Flags of glibc's dlfcn.h.
    const NOW: c_int = 2;
    const GLOBAL: c_int = 0x100;
    unsafe extern "C" {
        fn dlopen(file: *const c_char, flags: c_int) -> *mut c_void;
        fn dlerror() -> *const c_char;
    }
    // SAFETY: the name ends in a zero byte; the library's initialisers only register kernels.
    // `dlerror` gives a text of this thread that stays until the next call of the family.
    unsafe {
        if !dlopen(c"libtorch_cuda.so".as_ptr(), NOW | GLOBAL).is_null() {
            return Ok(());
        }
        let text = dlerror();
        if text.is_null() {
            return Err("libtorch_cuda.so does not load".into());
        }
        Err(CStr::from_ptr(text).to_string_lossy().into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_runs_f32_unless_told_otherwise() {
        let cpu = Placement { device: Device::Cpu, kind: Kind::Float };
        assert_eq!(placement("cpu", None).unwrap(), cpu);
        let double = placement("cpu", Some("f64")).unwrap();
        assert_eq!(dtype_name(double.kind), "f64");
    }

    #[test]
    fn a_gpu_that_is_there_and_cannot_be_used_is_an_error_not_the_processor() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(nvidia_device(root.path()), None);
        let unusable = || Err("libtorch's CUDA part cannot be loaded (no such file)".to_owned());
        assert_eq!(automatic(unusable(), nvidia_device(root.path())).unwrap(), Device::Cpu);
        assert_eq!(automatic(Ok(2), None).unwrap(), Device::Cuda(0));
        for sign in ["dev/nvidia0", "proc/driver/nvidia"] {
            let root = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(root.path().join(sign)).unwrap();
            let error = automatic(unusable(), nvidia_device(root.path())).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(sign) && text.contains("cannot be loaded (no such"), "{text}");
            assert!(error.hint().unwrap().contains("--device cpu"));
        }
    }

    #[test]
    fn unknown_names_are_refused_with_the_known_ones() {
        for (device, dtype, wanted) in [
            ("tpu", None, "auto, cpu, cuda, cuda:N"),
            ("cuda:x", None, "auto, cpu"),
            ("cpu", Some("int8"), "f32, bf16, f16, f64"),
        ] {
            let error = placement(device, dtype).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn a_gpu_that_is_not_there_is_refused_with_the_reason() {
        let error = placement("cuda:4096", None).unwrap_err();
        assert!(matches!(error, CheckpointError::Device { .. }), "{error:?}");
        assert!(error.hint().unwrap().contains("--device cpu"));
    }
}
