#!/bin/sh
# A script as people write them for VirtualBox: makes a machine, boots a CD, types, looks, takes and restores a snapshot, and cleans up.
# Usage: plain.sh PROGRAM CD FOLDER. Nothing in it is of RingOne's own.
set -eu
program=$1
cd_image=$2
folder=$3
vm=plain
serial=$folder/serial.log

vbm() {
    "$program" "$@"
}

fact() { # the value of a key of showvminfo --machinereadable
    vbm showvminfo "$vm" --machinereadable | sed -n "s/^$1=\"\(.*\)\"\$/\1/p"
}

await() { # until the guest has said something on COM1
    tries=0
    until grep -q "$1" "$serial" 2>/dev/null; do
        tries=$((tries + 1))
        [ "$tries" -lt 600 ] || { echo "the guest never said: $1" >&2; exit 1; }
        sleep 0.1
    done
}

check() { # what, expected, found
    [ "$2" = "$3" ] || { echo "$1 is '$3', not '$2'" >&2; exit 1; }
}

vbm createvm --name "$vm" --ostype Linux26 --basefolder "$folder" --register
vbm modifyvm "$vm" --memory 16 --vram 8 --boot1 dvd --boot2 disk --boot3 none --boot4 none --nic1 none --audio none --ioapic on
vbm modifyvm "$vm" --uart1 0x3F8 4 --uartmode1 file "$serial"
vbm storagectl "$vm" --name "IDE Controller" --add ide --controller PIIX4
vbm createmedium disk --filename "$folder/$vm/$vm.vdi" --size 32 --format VDI
vbm storageattach "$vm" --storagectl "IDE Controller" --port 0 --device 0 --type hdd --medium "$folder/$vm/$vm.vdi"
vbm storageattach "$vm" --storagectl "IDE Controller" --port 1 --device 0 --type dvddrive --medium "$cd_image"
check VMState poweroff "$(fact VMState)"

vbm startvm "$vm" --type headless
check VMState running "$(fact VMState)"
vbm list runningvms | grep -q "^\"$vm\" {.*}\$"
await "ECHO READY"
vbm controlvm "$vm" keyboardputstring "before"
await "before"
vbm controlvm "$vm" keyboardputscancode 1c 9c
vbm controlvm "$vm" screenshotpng "$folder/before.png"
vbm snapshot "$vm" take "typed" --description "before is on the screen" --live
vbm controlvm "$vm" keyboardputstring "after"
await "after"
vbm controlvm "$vm" poweroff
check VMState poweroff "$(fact VMState)"

vbm snapshot "$vm" list --machinereadable | grep -q '^CurrentSnapshotName="typed"$'
vbm snapshot "$vm" restore "typed"
check VMState saved "$(fact VMState)"
vbm startvm "$vm" --type headless
vbm controlvm "$vm" screenshotpng "$folder/restored.png"
vbm controlvm "$vm" keyboardputstring "again"
await "again"
vbm controlvm "$vm" pause
check VMState paused "$(fact VMState)"
vbm controlvm "$vm" resume
vbm controlvm "$vm" savestate
vbm discardstate "$vm"
vbm snapshot "$vm" delete "typed"
vbm storageattach "$vm" --storagectl "IDE Controller" --port 1 --device 0 --type dvddrive --medium emptydrive
vbm unregistervm "$vm" --delete
check "the list of machines" "" "$(vbm list vms)"
[ ! -e "$folder/$vm" ] || { echo "$folder/$vm is still there" >&2; exit 1; }
