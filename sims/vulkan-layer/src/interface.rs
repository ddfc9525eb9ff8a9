//! Types of Vulkan and its loader that the layer uses, with the layout of the C headers
//! `vulkan_core.h` and `vk_layer.h`.

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
/// `VK_LAYER_LINK_INFO`: marks the structure of this type that holds the link.
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
    /// The highest version that both sides support.
    pub version: u32,
    /// The layer's `vkGetInstanceProcAddr`.
    pub get_instance_proc_addr: Option<GetProcAddr>,
    /// The layer's `vkGetDeviceProcAddr`.
    pub get_device_proc_addr: Option<GetProcAddr>,
    /// The layer's functions for physical devices; none.
    pub get_physical_device_proc_addr: Option<GetProcAddr>,
}

/// The common start of Vulkan's extensible structures.
#[repr(C)]
pub struct Header {
    /// `VkStructureType`.
    pub kind: i32,
    /// The next structure of the chain, or null.
    pub next: *const Header,
}

/// The start of `VkInstanceCreateInfo`; the other fields are not read.
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
    /// Number of requested queues.
    pub queue_count: u32,
    /// Their descriptions.
    pub queues: *const c_void,
    /// Deprecated.
    pub layer_count: u32,
    /// Deprecated.
    pub layer_names: *const *const c_char,
    /// Number of requested extensions.
    pub extension_count: u32,
    /// Their names.
    pub extension_names: *const *const c_char,
    /// Requested features.
    pub features: *const c_void,
}

/// `VkLayerInstanceCreateInfo` or `VkLayerDeviceCreateInfo` that holds a link.
#[repr(C)]
pub struct LinkInfo<Link> {
    kind: i32,
    next: *const Header,
    function: i32,
    /// Link of the layer that is being called.
    pub layer: *mut Link,
}

/// `VkLayerInstanceLink`.
#[repr(C)]
pub struct InstanceLink {
    /// Link of the layer after the next.
    pub next: *mut InstanceLink,
    /// The next layer's `vkGetInstanceProcAddr`.
    pub get_instance_proc_addr: GetProcAddr,
    get_physical_device_proc_addr: Option<GetProcAddr>,
}

/// `VkLayerDeviceLink`.
#[repr(C)]
pub struct DeviceLink {
    /// Link of the layer after the next.
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
    /// Whether the extension has this name.
    pub fn is(&self, name: &CStr) -> bool {
        let bytes = name.to_bytes_with_nul();
        self.name.iter().zip(bytes).all(|(ours, theirs)| *ours as u8 == *theirs)
    }
}

/// The loader's link in a chain of structures.
///
/// # Safety
/// `chain` is null or a null-terminated chain of Vulkan structures that layers may change; links
/// of `kind` have the type `Link`.
pub unsafe fn link_info<'a, Link>(
    mut chain: *const Header,
    kind: i32,
) -> Option<&'a mut LinkInfo<Link>> {
    // SAFETY: guaranteed by the caller; only structures of that kind are read as links.
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
    /// A structure as the loader passes it.
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
    /// A request with that chain.
    pub fn new(next: *const Header) -> Self {
        Self { kind: 1, next }
    }
}

#[cfg(test)]
impl Negotiation {
    /// The structure of a loader that supports `version`.
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
