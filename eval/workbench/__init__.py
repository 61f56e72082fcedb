"""The workbench: analysts improve a task in a browser, over plain files that version control can hold."""
