/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest cannot find by itself. Built by `iasl -vw 6033 -tc`, since "VMBus", the name by
 * which guests look for the bus, is no valid _HID to iasl. The numbers are those of
 * abi/machine.h; a unit test compares them.
 */
DefinitionBlock ("", "DSDT", 2, "OYA   ", "OYADSDT ", 0x00000001)
{
	Name (\_S5, Package () { 0x05, 0x00, 0x00, 0x00 })

	Scope (\_SB)
	{
		/* The windows are address-space producers: guests ignore fixed memory
		 * descriptors when they look for VMBus memory. */
		Device (VMOD)
		{
			Name (_HID, "ACPI0004")
			Name (_UID, 0x00)
			Name (_CRS, ResourceTemplate ()
			{
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
					NonCacheable, ReadWrite,
					0x00000000, 0xE0000000, 0xEFFFFFFF, 0x00000000,
					0x10000000)
			})

			Device (VMBS)
			{
				Name (_HID, "VMBus")
				Name (_UID, 0x00)
				Name (_STA, 0x0F)
			}
		}

		Device (COM1)
		{
			Name (_HID, EisaId ("PNP0501"))
			Name (_UID, 0x01)
			Name (_STA, 0x0F)
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x03F8, 0x03F8, 0x01, 0x08)
				Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 4 }
			})
		}

		/* No interrupt: the clock of this machine raises none. */
		Device (RTC)
		{
			Name (_HID, EisaId ("PNP0B00"))
			Name (_STA, 0x0F)
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x0070, 0x0070, 0x01, 0x02)
			})
		}
	}
}
