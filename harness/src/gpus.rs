//! The NVIDIA cards of this machine, as CUDA numbers them in this process: `cuda:0` and so on.
//!
//! CUDA counts what `CUDA_VISIBLE_DEVICES` leaves (numbers, UUIDs or names of MIG parts); EGL and
//! Vulkan count otherwise, and a scheduler again. All know a card's address on the bus.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fmt;

use crate::exit::Refused;

/// A card, or a MIG part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    /// CUDA's number, from 0.
    pub number: usize,
    /// Its name, for example `NVIDIA H200`.
    pub name: String,
    /// `GPU-` or, for a part, `MIG-` with the UUID.
    pub uuid: String,
    /// Its address on the bus, for example `0000:17:00.0`; a part has its card's.
    pub bus: String,
}

impl Gpu {
    /// Whether it is a MIG part: those compute, and have no graphics.
    pub fn is_part(&self) -> bool {
        self.uuid.starts_with("MIG-")
    }

    /// Whether `text` names it: `cuda:N`, `N`, or the beginning of its UUID or bus address.
    fn is_called(&self, text: &str) -> bool {
        let number = text.strip_prefix("cuda:").unwrap_or(text);
        if let Ok(number) = number.parse::<usize>() {
            return self.number == number;
        }
        let text = text.to_lowercase();
        // At least as long as the prefix with a digit.
        text.len() > "GPU-".len()
            && (self.uuid.to_lowercase().starts_with(&text) || self.bus.starts_with(&text))
    }
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cuda:{} {} ({}, bus {})", self.number, self.name, self.uuid, self.bus)
    }
}

/// The cards that CUDA shows, in its order; none without NVIDIA's driver.
///
/// # Errors
/// What the driver says, where it is there and does not start.
pub fn visible() -> Result<Vec<Gpu>, String> {
    let Some(driver) = Driver::load() else { return Ok(vec![]) };
    driver.start()?;
    (0..driver.count()?).map(|number| driver.gpu(number)).collect()
}

/// The card that is called `text`, for drawing.
///
/// # Errors
/// [`Refused`] with the cards that there are; for a MIG part, which cannot draw.
pub fn that_draws(text: &str) -> Result<Gpu, Refused> {
    let all = visible().map_err(|reason| {
        Refused::new(format!("`--render-device {text}`: NVIDIA's driver does not start: {reason}"))
    })?;
    let mut found = all.iter().filter(|gpu| gpu.is_called(text));
    let list = all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  ");
    match (found.next(), found.next()) {
        (Some(gpu), None) if gpu.is_part() => {
            Err(Refused::new(format!("`{gpu}` is a MIG part, which has no graphics"))
                .hint("leave `--render-device` out, and draw on the processor: `--renderer osmesa` (LIBERO), `tiny` (CALVIN), `lavapipe` (SimplerEnv)"))
        }
        (Some(gpu), None) => Ok(gpu.clone()),
        (Some(_), Some(_)) => Err(Refused::new(format!("`--render-device {text}` is several cards"))
            .hint(format!("write more of it; CUDA shows\n  {list}"))),
        (None, _) if all.is_empty() => {
            Err(Refused::new(format!("`--render-device {text}`, but CUDA shows no card here"))
                .hint("`udvla-eval doctor` lists cards; `CUDA_VISIBLE_DEVICES` may hide them"))
        }
        (None, _) => Err(Refused::new(format!("there is no card `{text}`"))
            .hint(format!("CUDA shows\n  {list}"))),
    }
}

type Uuid = [u8; 16];

/// CUDA's driver library, of which nothing is linked.
struct Driver(*mut c_void);

impl Driver {
    fn load() -> Option<Self> {
        // SAFETY: the name ends in a zero byte; the library's initialisers do nothing visible.
        let library = unsafe { libc::dlopen(c"libcuda.so.1".as_ptr(), libc::RTLD_NOW) };
        (!library.is_null()).then_some(Self(library))
    }

    /// A function of the library; `T` is its type in cuda.h.
    fn function<T: Copy>(&self, name: &CStr) -> Result<T, String> {
        // SAFETY: the library stays loaded.
        let address = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        if address.is_null() {
            return Err(format!("it has no `{}`", name.to_string_lossy()));
        }
        assert_eq!(size_of::<T>(), size_of_val(&address), "a pointer to a function");
        // SAFETY: both are pointers, and the caller names the function's own type.
        Ok(unsafe { std::mem::transmute_copy(&address) })
    }

    fn start(&self) -> Result<(), String> {
        let init: unsafe extern "C" fn(c_uint) -> c_int = self.function(c"cuInit")?;
        // SAFETY: flags must be 0.
        match unsafe { init(0) } {
            // 100: the driver has no device to show.
            100 => Ok(()),
            code => accept("cuInit", code),
        }
    }

    fn count(&self) -> Result<c_int, String> {
        let get: unsafe extern "C" fn(*mut c_int) -> c_int = self.function(c"cuDeviceGetCount")?;
        let mut count = 0;
        // SAFETY: the pointer is valid.
        match unsafe { get(&raw mut count) } {
            // 3: not started, for lack of devices.
            3 | 100 => Ok(0),
            code => accept("cuDeviceGetCount", code).map(|()| count),
        }
    }

    fn gpu(&self, number: c_int) -> Result<Gpu, String> {
        type Text = unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int;
        let get: unsafe extern "C" fn(*mut c_int, c_int) -> c_int =
            self.function(c"cuDeviceGet")?;
        let mut device = 0;
        // SAFETY: the pointer is valid.
        accept("cuDeviceGet", unsafe { get(&raw mut device, number) })?;
        let text = |name: &CStr| -> Result<String, String> {
            let read: Text = self.function(name)?;
            let mut bytes = [0 as c_char; 256];
            // SAFETY: the length is that of the buffer, whose last byte stays 0.
            accept(&name.to_string_lossy(), unsafe { read(bytes.as_mut_ptr(), 255, device) })?;
            // SAFETY: as above.
            Ok(unsafe { CStr::from_ptr(bytes.as_ptr()) }.to_string_lossy().into_owned())
        };
        let name = text(c"cuDeviceGetName")?;
        let bus = text(c"cuDeviceGetPCIBusId")?.to_lowercase();
        let read: unsafe extern "C" fn(*mut Uuid, c_int) -> c_int =
            self.function(c"cuDeviceGetUuid_v2").or_else(|_| self.function(c"cuDeviceGetUuid"))?;
        let mut uuid = Uuid::default();
        // SAFETY: a CUuuid is 16 bytes.
        accept("cuDeviceGetUuid", unsafe { read(&raw mut uuid, device) })?;
        let kind = if name.contains(" MIG ") { "MIG" } else { "GPU" };
        Ok(Gpu { number: number.unsigned_abs() as usize, name, uuid: with_dashes(kind, uuid), bus })
    }
}

/// The name of a UUID: `GPU-` and its digits in groups of 8, 4, 4, 4 and 12.
fn with_dashes(kind: &str, uuid: Uuid) -> String {
    let mut text = kind.to_owned();
    for (index, byte) in uuid.iter().enumerate() {
        if [0, 4, 6, 8, 10].contains(&index) {
            text.push('-');
        }
        text += &format!("{byte:02x}");
    }
    text
}

fn accept(call: &str, code: c_int) -> Result<(), String> {
    if code == 0 { Ok(()) } else { Err(format!("{call} answers with error {code}")) }
}
