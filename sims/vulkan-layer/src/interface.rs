//! The few types of Vulkan and of its loader that the layer touches, laid out as in their C
//! headers `vulkan_core.h` and `vk_layer.h`.

use std::ffi::{CStr, c_char, c_void};

/// `VkResult`.
pub type Result = i32;
/// `VK_SUCCESS`.
pub const SUCCESS: Result = 0;
/// `VK_ERROR_INITIALIZATION_FAILED`.
pub const ERROR_INITIALIZATION_FAILED: Result = -3;
/// `VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO`.
pub const LOADER_INSTANCE_CREATE_INFO: i32 = 47;
/// `VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO`.
pub const LOADER_DEVICE_CREATE_INFO: i32 = 48;
/// `VK_LAYER_LINK_INFO`: of several structures of that type, the one that holds the link.
const LINK_INFO: i32 = 0;

/// A dispatchable handle: instance, physical device or device.
pub type Handle = *mut c_void;
/// `PFN_vkVoidFunction`.
pub type Function = Option<unsafe extern "system" fn()>;
/// `PFN_vkGetInstanceProcAddr` and `PFN_vkGetDeviceProcAddr`.
pub type GetProcAddr = unsafe extern "system" fn(Handle, *const c_char) -> Function;
/// `PFN_vkCreateInstance`.
pub type CreateInstance =
    unsafe extern "system" fn(*const InstanceCreateInfo, *const c_void, *mut Handle) -> Result;
/// `PFN_vkCreateDevice`.
pub type CreateDevice = unsafe extern "system" fn(
    Handle,
    *const DeviceCreateInfo,
    *const c_void,
    *mut Handle,
) -> Result;

/// `VkNegotiateLayerInterface`.
#[repr(C)]
pub struct Negotiation {
    kind: i32,
    next: *mut c_void,
    /// The highest version that both sides speak.
    pub version: u32,
    /// The layer's `vkGetInstanceProcAddr`.
    pub get_instance_proc_addr: Option<GetProcAddr>,
    /// The layer's `vkGetDeviceProcAddr`.
    pub get_device_proc_addr: Option<GetProcAddr>,
    /// The layer's entries for physical devices; none.
    pub get_physical_device_proc_addr: Option<GetProcAddr>,
}

/// The start of every extensible structure of Vulkan.
#[repr(C)]
pub struct Header {
    /// `VkStructureType`.
    pub kind: i32,
    /// The next structure of the chain, or null.
    pub next: *const Header,
}

/// The start of `VkInstanceCreateInfo`; the rest is passed on unread.
#[repr(C)]
pub struct InstanceCreateInfo {
    kind: i32,
    /// The chain that holds the loader's link.
    pub next: *const Header,
}

/// `VkDeviceCreateInfo`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct DeviceCreateInfo {
    /// `VkStructureType`.
    pub kind: i32,
    /// The chain that holds the loader's link.
    pub next: *const Header,
    /// Unused by Vulkan.
    pub flags: u32,
    /// Queues asked for.
    pub queue_count: u32,
    /// Their descriptions.
    pub queues: *const c_void,
    /// Deprecated.
    pub layer_count: u32,
    /// Deprecated.
    pub layer_names: *const *const c_char,
    /// Extensions asked for.
    pub extension_count: u32,
    /// Their names.
    pub extension_names: *const *const c_char,
    /// Features asked for.
    pub features: *const c_void,
}

/// `VkLayerInstanceCreateInfo` and `VkLayerDeviceCreateInfo` as far as they hold a link.
#[repr(C)]
pub struct LinkInfo<Link> {
    kind: i32,
    next: *const Header,
    function: i32,
    /// The link of the layer that is being called.
    pub layer: *mut Link,
}

/// `VkLayerInstanceLink`.
#[repr(C)]
pub struct InstanceLink {
    /// The link of the layer after the next.
    pub next: *mut InstanceLink,
    /// The next layer's `vkGetInstanceProcAddr`.
    pub get_instance_proc_addr: GetProcAddr,
    get_physical_device_proc_addr: Option<GetProcAddr>,
}

/// `VkLayerDeviceLink`.
#[repr(C)]
pub struct DeviceLink {
    /// The link of the layer after the next.
    pub next: *mut DeviceLink,
    /// The next layer's `vkGetInstanceProcAddr`.
    pub get_instance_proc_addr: GetProcAddr,
    /// The next layer's `vkGetDeviceProcAddr`.
    pub get_device_proc_addr: GetProcAddr,
}

/// `VkExtensionProperties`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ExtensionProperties {
    name: [c_char; 256],
    version: u32,
}

impl Default for ExtensionProperties {
    fn default() -> Self {
        Self { name: [0; 256], version: 0 }
    }
}

impl ExtensionProperties {
    /// Whether this is the extension of that name.
    pub fn is(&self, name: &CStr) -> bool {
        let bytes = name.to_bytes_with_nul();
        self.name.iter().zip(bytes).all(|(ours, theirs)| *ours as u8 == *theirs)
    }
}

/// The loader's link in a chain of structures.
///
/// # Safety
/// `chain` is null or a chain of Vulkan structures that ends in null and that the loader lets
/// layers change; `kind` says that its link is of the type `Link`.
pub unsafe fn link_info<'a, Link>(
    mut chain: *const Header,
    kind: i32,
) -> Option<&'a mut LinkInfo<Link>> {
    // SAFETY: the caller's promise; only structures of the asked kind are read as links.
    unsafe {
        while let Some(header) = chain.as_ref() {
            let info = chain.cast::<LinkInfo<Link>>().cast_mut();
            if header.kind == kind && (*info).function == LINK_INFO {
                return info.as_mut().filter(|info| !info.layer.is_null());
            }
            chain = header.next;
        }
    }
    None
}

#[cfg(test)]
impl<Link> LinkInfo<Link> {
    /// A structure as the loader makes it.
    pub fn new(kind: i32, layer: *mut Link) -> Self {
        Self { kind, next: std::ptr::null(), function: LINK_INFO, layer }
    }
}

#[cfg(test)]
impl InstanceLink {
    /// The last link of a chain.
    pub fn last(get_instance_proc_addr: GetProcAddr) -> Self {
        let next = std::ptr::null_mut();
        Self { next, get_instance_proc_addr, get_physical_device_proc_addr: None }
    }
}

#[cfg(test)]
impl ExtensionProperties {
    /// The extension of that name.
    pub fn named(name: &CStr) -> Self {
        let mut extension = Self::default();
        for (ours, theirs) in extension.name.iter_mut().zip(name.to_bytes()) {
            *ours = *theirs as c_char;
        }
        extension
    }
}

#[cfg(test)]
impl InstanceCreateInfo {
    /// An instance with that chain.
    pub fn new(next: *const Header) -> Self {
        Self { kind: 1, next }
    }
}

#[cfg(test)]
impl Negotiation {
    /// What a loader that speaks `version` asks.
    pub fn new(version: u32) -> Self {
        Self {
            kind: 1,
            next: std::ptr::null_mut(),
            version,
            get_instance_proc_addr: None,
            get_device_proc_addr: None,
            get_physical_device_proc_addr: None,
        }
    }
}
