//! A Vulkan layer that lets SAPIEN 2.2.2 render with Mesa's CPU driver (lavapipe).
//!
//! SAPIEN requests `VK_KHR_external_semaphore_fd` for every device, to share semaphores with CUDA,
//! and never uses it without CUDA. Lavapipe does not have it and refuses to create the device.
//! The layer's manifest offers the extension, which satisfies the loader; `vkCreateDevice` here
//! removes its name from the request if the device lacks it. All other calls are passed on.
//!
//! The harness writes the manifest and enables the layer for workers that render with lavapipe;
//! no other process loads it.
//!
//! Source: Khronos loader and layer interface, negotiation version 2.

mod interface;

use std::ffi::{CStr, c_char, c_void};
use std::sync::Mutex;

use interface::{
    CreateDevice, CreateInstance, DeviceCreateInfo, DeviceLink, ERROR_INITIALIZATION_FAILED,
    ExtensionProperties, Function, GetProcAddr, Handle, InstanceCreateInfo, InstanceLink,
    LOADER_DEVICE_CREATE_INFO, LOADER_INSTANCE_CREATE_INFO, Negotiation, Result, SUCCESS,
    link_info,
};

/// The extension that a device may lack.
const OPTIONAL: &CStr = c"VK_KHR_external_semaphore_fd";
/// Version of the loader negotiation that this layer implements.
const INTERFACE_VERSION: u32 = 2;

/// The next layer or driver, for one instance or device.
#[derive(Clone, Copy)]
struct Next {
    /// Address of the loader's dispatch table; an instance and its physical devices share it.
    table: usize,
    /// The instance, null for a device.
    instance: Handle,
    get: GetProcAddr,
}

// SAFETY: the handle is only passed on; it is dereferenced for its dispatch table alone, which
// the loader keeps readable from every thread.
unsafe impl Send for Next {}

static INSTANCES: Mutex<Vec<Next>> = Mutex::new(vec![]);
static DEVICES: Mutex<Vec<Next>> = Mutex::new(vec![]);

/// Gives the loader the layer's entry points.
///
/// # Safety
/// `negotiation` is null or the loader's structure.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn vkNegotiateLoaderLayerInterfaceVersion(
    negotiation: *mut Negotiation,
) -> Result {
    // SAFETY: guaranteed by the caller.
    let Some(negotiation) = (unsafe { negotiation.as_mut() }) else {
        return ERROR_INITIALIZATION_FAILED;
    };
    if negotiation.version < INTERFACE_VERSION {
        return ERROR_INITIALIZATION_FAILED;
    }
    negotiation.version = INTERFACE_VERSION;
    negotiation.get_instance_proc_addr = Some(instance_entry);
    negotiation.get_device_proc_addr = Some(device_entry);
    negotiation.get_physical_device_proc_addr = None;
    SUCCESS
}

/// `vkGetInstanceProcAddr`.
unsafe extern "system" fn instance_entry(instance: Handle, name: *const c_char) -> Function {
    // SAFETY: Vulkan passes a C string.
    match unsafe { CStr::from_ptr(name) }.to_bytes() {
        b"vkGetInstanceProcAddr" => function(instance_entry as *const c_void),
        b"vkGetDeviceProcAddr" => function(device_entry as *const c_void),
        b"vkCreateInstance" => function(create_instance as *const c_void),
        b"vkCreateDevice" => function(create_device as *const c_void),
        // SAFETY: the next function is called with the arguments of this call.
        _ => find(&INSTANCES, instance).and_then(|next| unsafe { (next.get)(instance, name) }),
    }
}

/// `vkGetDeviceProcAddr`.
unsafe extern "system" fn device_entry(device: Handle, name: *const c_char) -> Function {
    // SAFETY: Vulkan passes a C string.
    match unsafe { CStr::from_ptr(name) }.to_bytes() {
        b"vkGetDeviceProcAddr" => function(device_entry as *const c_void),
        // SAFETY: the next function is called with the arguments of this call.
        _ => find(&DEVICES, device).and_then(|next| unsafe { (next.get)(device, name) }),
    }
}

/// `vkCreateInstance`: passes the call on and stores the next layer.
unsafe extern "system" fn create_instance(
    info: *const InstanceCreateInfo,
    allocator: *const c_void,
    instance: *mut Handle,
) -> Result {
    // SAFETY: Vulkan passes a chain that ends in null. The loader's link is in it, and a layer
    // advances that link before it calls the next one.
    unsafe {
        let link = link_info::<InstanceLink>((*info).next, LOADER_INSTANCE_CREATE_INFO);
        let Some(link) = link else { return ERROR_INITIALIZATION_FAILED };
        let get = (*link.layer).get_instance_proc_addr;
        link.layer = (*link.layer).next;
        let Some(create) = get(std::ptr::null_mut(), c"vkCreateInstance".as_ptr()) else {
            return ERROR_INITIALIZATION_FAILED;
        };
        let create = std::mem::transmute::<unsafe extern "system" fn(), CreateInstance>(create);
        let result = create(info, allocator, instance);
        if result == SUCCESS {
            remember(&INSTANCES, Next { table: table(*instance), instance: *instance, get });
        }
        result
    }
}

/// `vkCreateDevice`: passes the call on, without the optional extension if the device lacks it.
unsafe extern "system" fn create_device(
    physical: Handle,
    info: *const DeviceCreateInfo,
    allocator: *const c_void,
    device: *mut Handle,
) -> Result {
    let Some(next) = find(&INSTANCES, physical) else { return ERROR_INITIALIZATION_FAILED };
    // SAFETY: as in `create_instance`. The names are C strings that outlive the call, and the
    // changed copy of the structure is used only during the call.
    unsafe {
        let link = link_info::<DeviceLink>((*info).next, LOADER_DEVICE_CREATE_INFO);
        let Some(link) = link else { return ERROR_INITIALIZATION_FAILED };
        let (get, get_device) =
            ((*link.layer).get_instance_proc_addr, (*link.layer).get_device_proc_addr);
        link.layer = (*link.layer).next;
        let Some(create) = get(next.instance, c"vkCreateDevice".as_ptr()) else {
            return ERROR_INITIALIZATION_FAILED;
        };
        let create = std::mem::transmute::<unsafe extern "system" fn(), CreateDevice>(create);
        let mut names = match (*info).extension_count {
            0 => vec![],
            count => std::slice::from_raw_parts((*info).extension_names, count as usize).to_vec(),
        };
        if !has_extension(&next, get, physical) {
            names.retain(|name| CStr::from_ptr(*name) != OPTIONAL);
        }
        let mut info = *info;
        info.extension_count = names.len() as u32;
        info.extension_names = names.as_ptr();
        let result = create(physical, &raw const info, allocator, device);
        if result == SUCCESS {
            let instance = std::ptr::null_mut();
            remember(&DEVICES, Next { table: table(*device), instance, get: get_device });
        }
        result
    }
}

/// Whether the device has the optional extension.
///
/// # Safety
/// `get` belongs to the next layer of `next`'s instance, `physical` is a device of it.
unsafe fn has_extension(next: &Next, get: GetProcAddr, physical: Handle) -> bool {
    type Enumerate = unsafe extern "system" fn(
        Handle,
        *const c_char,
        *mut u32,
        *mut ExtensionProperties,
    ) -> Result;
    // SAFETY: guaranteed by the caller; `Enumerate` is Vulkan's type of that function. The first
    // call returns the count, the second fills that many elements.
    unsafe {
        let name = c"vkEnumerateDeviceExtensionProperties";
        let Some(enumerate) = get(next.instance, name.as_ptr()) else { return false };
        let enumerate = std::mem::transmute::<unsafe extern "system" fn(), Enumerate>(enumerate);
        let mut count = 0;
        let layer = std::ptr::null();
        if enumerate(physical, layer, &raw mut count, std::ptr::null_mut()) != SUCCESS {
            return false;
        }
        let mut extensions = vec![ExtensionProperties::default(); count as usize];
        let result = enumerate(physical, layer, &raw mut count, extensions.as_mut_ptr());
        extensions.truncate(count as usize);
        result == SUCCESS && extensions.iter().any(|extension| extension.is(OPTIONAL))
    }
}

/// A function as Vulkan's generic function pointer.
fn function(address: *const c_void) -> Function {
    // SAFETY: callers pass functions of this file; Vulkan casts them back to their types.
    unsafe { std::mem::transmute::<*const c_void, Function>(address) }
}

/// Address of a handle's dispatch table.
fn table(handle: Handle) -> usize {
    // SAFETY: by the loader's rules a dispatchable handle starts with a pointer to its table.
    unsafe { *handle.cast::<usize>() }
}

fn find(nexts: &Mutex<Vec<Next>>, handle: Handle) -> Option<Next> {
    if handle.is_null() {
        return None;
    }
    let table = table(handle);
    let nexts = nexts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    nexts.iter().find(|next| next.table == table).copied()
}

/// Stores `next`, replacing a destroyed instance or device with the same dispatch table.
fn remember(nexts: &Mutex<Vec<Next>>, next: Next) {
    let mut nexts = nexts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    nexts.retain(|other| other.table != next.table);
    nexts.push(next);
}

#[cfg(test)]
mod tests;
