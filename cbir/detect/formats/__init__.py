"""Files of boxes as other programs write and read them: COCO, YOLO, PASCAL VOC."""
